// An image's pixels as they are stored: without color management, rotated by its EXIF orientation.

export const MAX_PIXELS = 89478485; // Pillow's limit, as on the Python side
const STRIP = 512; // rows read at a time: a canvas of a whole photograph is too large for some phones

/** Decodes a Blob; throws an Error with plain words if it is no image. */
export async function decode(blob) {
  if (!blob.size) throw new Error("This file is empty.");
  try {
    return await createImageBitmap(blob, {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
      imageOrientation: "from-image",
    });
  } catch {
    throw new Error(
      "This file cannot be read as an image. JPEG, PNG, WebP, GIF and BMP files work in all browsers.",
    );
  }
}

/** Returns the pixels of an ImageBitmap: { data: RGBA bytes, width, height }. */
export function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    throw new Error("This image is too large: it may have 89 million pixels at most.");
  }
  const strip = Math.min(STRIP, height);
  const canvas = new OffscreenCanvas(width, strip);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  const data = new Uint8ClampedArray(width * height * 4);
  for (let top = 0; top < height; top += strip) {
    const rows = Math.min(strip, height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    data.set(context.getImageData(0, 0, width, rows).data, top * width * 4);
  }
  return { data, width, height };
}
