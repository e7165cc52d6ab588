/**
 * Keyboards and pointers: what a person (VNC, the console, QMP) does, on its way to the
 * input devices of a machine. Keys have QEMU's names (QKeyCode).
 */
import type { QKeyCode } from './qkeycode.ts';

export type PointerButton =
  | 'left'
  | 'middle'
  | 'right'
  | 'wheel-up'
  | 'wheel-down'
  | 'side'
  | 'extra'
  | 'wheel-left'
  | 'wheel-right';
export type Axis = 'x' | 'y';

/** The range of absolute axes: 0 is the left or upper edge, this the right or lower one. */
export const ABSOLUTE_MAX = 0x7fff;

export type InputEvent =
  | { readonly type: 'key'; readonly key: QKeyCode; readonly down: boolean }
  | { readonly type: 'btn'; readonly button: PointerButton; readonly down: boolean }
  /** Counts of movement; y grows downwards. */
  | { readonly type: 'rel'; readonly axis: Axis; readonly value: number }
  /** 0 ... ABSOLUTE_MAX. */
  | { readonly type: 'abs'; readonly axis: Axis; readonly value: number };

/** A device that takes input. */
export interface InputSink {
  /** As `info mice` lists it, e.g. `QEMU PS/2 Mouse`. */
  readonly inputName: string;
  readonly takes: ReadonlySet<InputEvent['type']>;
  /** One event; a device without room for it loses it. */
  input(event: InputEvent): void;
  /** The events of one moment are complete: a pointer reports them together. */
  sync(): void;
}
