import { TrapframeError } from '../bits/errors.ts';

/** A guest image, archive or package that cannot be had, or is not what it claims to be. */
export class ImageError extends TrapframeError {}
