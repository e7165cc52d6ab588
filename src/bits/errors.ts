/**
 * Typed errors for what a user or host can mend. What a guest does wrong is
 * never one of these: that is a value.
 */

/** An error with a stable code and a hint what to do about it; `message` ends with the hint. */
export class TrapframeError extends Error {
  /** Stable, kebab-case, e.g. `kernel-not-a-kernel`. */
  readonly code: string;
  /** What the user can do. */
  readonly mend: string;

  constructor(code: string, what: string, mend: string, cause?: unknown) {
    super(mend ? `${what}; ${mend}` : what, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
    this.mend = mend;
  }
}

/** The machine cannot be built as asked. */
export class ConfigError extends TrapframeError {}

/** The host failed: a file, a socket, memory. */
export class HostError extends TrapframeError {}

/** A saved state does not fit the layouts of this version. */
export class StateError extends TrapframeError {}
