/** All instruction rows of the machine's harts. V and H come in as further files of rows. */
import { rv64d } from './d.ts';
import type { Instruction } from './insn.ts';
import { rv64a } from './rv64a.ts';
import { rv64c, zcb } from './rv64c.ts';
import { rv64f } from './f.ts';
import { rv64i } from './rv64i.ts';
import { rv64m } from './rv64m.ts';
import { privileged, zicsr } from './system.ts';
import { zba, zbb, zbc, zbs, zicbo, zicond } from './zb.ts';
import { zfa } from './zfa.ts';
import { zbkb, zbkx, zknh } from './zk.ts';

export const rows: readonly Instruction[] = [
  ...rv64i,
  ...rv64m,
  ...rv64a,
  ...rv64f,
  ...rv64d,
  ...rv64c,
  ...zcb,
  ...zicsr,
  ...privileged,
  ...zba,
  ...zbb,
  ...zbc,
  ...zbs,
  ...zbkb,
  ...zbkx,
  ...zknh,
  ...zicond,
  ...zfa,
  ...zicbo,
];
