// The camera: live images, and errors in plain words.

const REASONS = {
  NotAllowedError:
    "The camera was refused. Allow it in the browser's settings for this page, or choose an image.",
  NotFoundError: "No camera was found on this device. Choose an image instead.",
  NotReadableError: "The camera is in use by another program. Close that, then try again.",
};

export class Camera {
  constructor(video) {
    this.video = video;
    this.on = false;
  }

  /** Starts the camera, on a phone the rear one; throws an Error with plain words. */
  async start() {
    if (!navigator.mediaDevices) {
      throw new Error("The camera works only on pages under https:// or on localhost.");
    }
    try {
      this.video.srcObject = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment" },
      });
      await this.video.play();
    } catch (error) {
      this.stop();
      throw new Error(REASONS[error.name] || `The camera did not start (${error.message}).`);
    }
    this.on = true;
  }

  stop() {
    this.on = false;
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }

  /** Returns the next frame as an ImageBitmap, null if there is none yet. */
  async frame() {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    return this.video.videoWidth ? createImageBitmap(this.video) : null;
  }
}
