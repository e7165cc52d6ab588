/**
 * The handlers that nearly every guest needs, as one module that is made in
 * another thread while the guest starts: thousands of small ones cost the
 * vCPU's thread more, one by one, than all the rest of a boot's decoding.
 */
import { type Callable, isImport } from '../../ir/code.ts';
import type { Insn } from '../../ir/insn.ts';
import type { HandlerKey, Isa, Reach } from '../../isa/isa.ts';
import { calleesOf } from './callees.ts';
import { emitHandler, HANDLER_CALLEES, HANDLER_RUNTIME, HandlerLowering, handlerInsn } from './handlers.ts';
import { ModuleBuilder } from './module.ts';
import { HANDLER } from './reasons.ts';

/** The module takes any machine's memory. */
const ANY_MEMORY = { initial: 1, maximum: 65536 };

/** A handler that was made ahead: its key's id and its reach. */
export interface CommonHandler {
  readonly id: HandlerKey['id'];
  readonly reach: Reach;
}

/** The handlers are exported by their position in the list. */
export interface CommonHandlers {
  /** Undefined when there are none. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
  readonly imports: readonly string[];
  readonly handlers: readonly CommonHandler[];
}

/** Makes those that call nothing but what is there from the start: the engine's functions and the Isa's shared ones. */
export function compileCommon(isa: Isa, cpuAddress: number | undefined): CommonHandlers {
  const known = new Set<string>([...HANDLER_CALLEES, ...(isa.shared ?? [])].map(({ name }) => name));
  const callees = new Map<string, Callable>(HANDLER_CALLEES.map((target) => [target.name, target]));
  const chosen: { readonly key: HandlerKey; readonly reach: Reach; readonly insn: Insn }[] = [];
  const seen = new Set<string>();
  for (const [key, reach] of isa.common?.() ?? []) {
    const name = `${key.id}/${reach}`;
    if (seen.has(name)) continue;
    seen.add(name);
    const insn = handlerInsn(isa, key);
    const called = [...calleesOf(insn.statements)];
    if (!called.every((target) => isImport(target) || known.has(target.name))) continue;
    for (const target of called) callees.set(target.name, target);
    chosen.push({ key, reach, insn });
  }
  if (chosen.length === 0) return { bytes: undefined, imports: [], handlers: [] };
  const builder = new ModuleBuilder();
  const index = new Map<string, number>();
  for (const [name, target] of callees) index.set(name, builder.importFunction('run', name, target));
  const calleeOf = (target: Callable) => index.get(target.name) as number;
  const lowering = new HandlerLowering(isa, cpuAddress, HANDLER_RUNTIME, calleeOf);
  const type = builder.type(HANDLER);
  chosen.forEach(({ key, reach, insn }, n) => {
    const at = builder.declare(String(n), HANDLER);
    builder.define(at, emitHandler(lowering, key, reach, insn, type));
    builder.export(String(n), at);
  });
  const handlers = chosen.map(({ key: { id }, reach }) => ({ id, reach }));
  return { bytes: builder.finish(ANY_MEMORY, cpuAddress === undefined), imports: [...callees.keys()], handlers };
}
