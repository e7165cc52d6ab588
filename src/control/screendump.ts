/** `screendump`: the screen as a file. */
import { encodePng, encodePpm, type Picture } from '../bits/png.ts';
import { type Control, ControlError } from './hub.ts';

export const NO_DISPLAY = 'There is no display on this machine';

export type PictureFormat = 'ppm' | 'png';

export function isPictureFormat(format: string): format is PictureFormat {
  return format === 'ppm' || format === 'png';
}

/** Writes what the first screen shows now. Throws ControlError without a screen, or what writing the file throws. */
export async function screendump(control: Control, filename: string, format: PictureFormat): Promise<void> {
  const { display } = control.machine;
  if (!display) throw new ControlError(NO_DISPLAY);
  const { width, height } = display.size();
  const rgba = new Uint8Array(width * height * 4);
  display.render(rgba);
  const picture: Picture = { width, height, rgba };
  await control.host.save(filename, format === 'png' ? encodePng(picture) : once(encodePpm(picture)));
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
