import type { Callable, Statement } from '../../ir/code.ts';

/** Every callable in a list of statements. */
export function* calleesOf(statements: readonly Statement[]): Generator<Callable> {
  for (const s of statements) {
    if (s.kind === 'call') yield s.target;
    else if (s.kind === 'if') {
      yield* calleesOf(s.then);
      yield* calleesOf(s.else);
    } else if (s.kind === 'loop' || s.kind === 'block') yield* calleesOf(s.body);
  }
}
