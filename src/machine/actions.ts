/**
 * What a machine does when its guest reboots, powers off, panics, or when its
 * watchdog expires: QEMU's `-action` and `set-action`.
 *
 * Spec: QEMU 7.2, "QEMU System Emulation User's Guide", -action; QMP reference, set-action.
 */
export const ACTIONS = {
  reboot: ['reset', 'shutdown'],
  shutdown: ['poweroff', 'pause'],
  panic: ['pause', 'shutdown', 'exit-failure', 'none'],
  watchdog: ['reset', 'shutdown', 'poweroff', 'pause', 'debug', 'none', 'inject-nmi'],
} as const;

export type ActionEvent = keyof typeof ACTIONS;
export type Actions = { readonly [E in ActionEvent]: (typeof ACTIONS)[E][number] };

export const DEFAULT_ACTIONS: Actions = { reboot: 'reset', shutdown: 'poweroff', panic: 'shutdown', watchdog: 'reset' };

/** What becomes of a guest that has panicked, in QMP's words; and whether the machine ends for it. */
export function panicAction({ panic, shutdown }: Actions): 'pause' | 'poweroff' | 'run' {
  if (panic === 'none') return 'run';
  return panic === 'pause' || (panic === 'shutdown' && shutdown === 'pause') ? 'pause' : 'poweroff';
}
