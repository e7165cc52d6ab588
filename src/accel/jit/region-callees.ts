import { hostFunction } from '../../ir/code.ts';
import { REGION } from './goto.ts';
import { RESUME } from './resume.ts';

/** Run-time functions that every region calls, by name and signature. */
export const REGION_CALLEES = {
  goto: hostFunction('goto', REGION.params, REGION.result),
  resume: hostFunction('resume', RESUME.params, RESUME.result),
  slowLoad: hostFunction('slow_load', ['i64', 'i32'], 'i32'),
  slowStore: hostFunction('slow_store', ['i64', 'i32'], 'i32'),
  /**
   * (first byte, alignment | distance of the last aligned piece << 8 | top bit for stores): the complement of its place
   * less `BIAS`, or of 0.
   */
  slowGroup: hostFunction('slow_group', ['i64', 'i32'], 'i32'),
  /** (pc, decoded page): whether the pc lies in that page, as the mode maps it now. */
  isPage: hostFunction('is_page', ['i64', 'i32'], 'i32'),
  raise: hostFunction('raise', ['i32', 'i64', 'i64']),
} as const;
