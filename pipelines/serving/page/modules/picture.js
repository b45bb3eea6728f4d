/** A picture of any kind and size as the server takes it: a small JPEG in base64. */

const SIDES_PX = [384, 256, 160]; // encoders see no more of it
const MOST = 48 * 1024; // characters

/**
 * @param {Blob} file
 * @returns {Promise<string>}
 * @throws what the browser throws for a file that is no picture
 */
export async function pictureOf(file) {
  const picture = await createImageBitmap(file);
  for (const side of SIDES_PX) {
    const scale = Math.min(1, side / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.width, picture.height].map((one) => Math.max(1, Math.round(scale * one)));
    const paint = canvas.getContext("2d");
    paint.fillStyle = "#ffffff"; // behind what is transparent
    paint.fillRect(0, 0, canvas.width, canvas.height);
    paint.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const [, text] = canvas.toDataURL("image/jpeg", 0.85).split(",");
    if (text.length <= MOST) return text;
  }
  throw new Error("it is too large");
}
