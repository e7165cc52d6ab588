/**
 * KVM's hypercalls: VMCALL and VMMCALL to the machine. Four arguments and the
 * number go in two questions, for a host's function takes few words.
 *
 * Spec: Linux documentation, "Linux KVM Hypercall".
 */
import { define } from '../../ir/code.ts';
import { i32, i64, ltU, select, wrap } from '../../ir/value.ts';
import { hostCall } from '../isa.ts';
import { get, put } from './field.ts';
import { HostCall } from './msr.ts';

/** What user code is told: -KVM_EPERM. */
const NOT_PERMITTED = -1;
/** A number that no hypercall has. */
const NONE = i32(-1);

/** hypercall(number, a0, a1, a2, a3, whether they have 64 bits): what it gives. */
export const hypercall = define('hypercall', ['i64', 'i64', 'i64', 'i64', 'i64', 'i32'], 'i64', (f, ...words) => {
  const [number, a0, a1, a2, a3, long] = words;
  f.if(get('cpl'), () => f.return(i64(NOT_PERMITTED)));
  const narrow = (word: typeof number) => select(ltU(word, 0x1_0000_0000n), wrap(word), NONE);
  // APIC ids and commands have 32 bits; more of an id is nobody's.
  f.call(hostCall, i32(HostCall.hypercallTarget), narrow(a2), wrap(a3));
  put(f, 'result', a0);
  put(f, 'result2', a1);
  f.call(hostCall, i32(HostCall.hypercall), narrow(number), long);
  f.return(get('result'));
});
