// The user's image: its kind, its size, and its data URL.

const MOST_BYTES = 64 * 2 ** 20; // larger files would only keep the browser busy; the server accepts less
const STARTS = [
  ["image/png", /^\x89PNG/],
  ["image/jpeg", /^\xff\xd8\xff/],
  ["image/gif", /^GIF8/],
  ["image/bmp", /^BM/],
  ["image/webp", /^RIFF[^]{4}WEBP/],
];

// Its name, its upright size, and a data URL to show and send; or an Error that says what to do.
// The kind is read from the bytes, whatever the name says.
export async function readImage(file) {
  const name = file.name || "The image";
  if (file.size > MOST_BYTES) throw new Error(`${name} is larger than 64 MB; choose a smaller one.`);
  const start = String.fromCharCode(...new Uint8Array(await file.slice(0, 12).arrayBuffer()));
  const kind = STARTS.find(([, pattern]) => pattern.test(start))?.[0];
  if (!kind) throw new Error(`${name} is not a PNG, JPEG, WebP, GIF or BMP image; choose one of those.`);
  const picture = new Image();
  picture.src = await dataUrl(new Blob([file], { type: kind }));
  try {
    await picture.decode();
  } catch {
    throw new Error(`${name} is damaged or cut short; get a complete copy of it.`);
  }
  return { name, url: picture.src, size: [picture.naturalWidth, picture.naturalHeight] };
}

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The image cannot be read; is the file still there?"));
    reader.readAsDataURL(blob);
  });
}
