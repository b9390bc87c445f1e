// The camera: live images, and what keeps it from running in plain words.

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

  /** Starts the camera, the one at a phone's back; throws an Error with plain words. */
  async start() {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give the camera only to pages under https:// or on localhost.");
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

  /** The next frame as an ImageBitmap, null where there is none yet. */
  async frame() {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    return this.video.videoWidth ? createImageBitmap(this.video) : null;
  }
}
