/**
 * The admin commands.
 *
 * Spec: NVM Express 1.4, "Admin Command Set".
 */
import type { Dma } from '../../hw/device.ts';
import { lengthOf, scatter } from '../../hw/virtqueue.ts';
import { ADMIN, type Command, STATUS } from './commands.ts';
import { identifyController, identifyNamespace, logPage, NAMESPACES, namespaceList } from './identify.ts';
import type { Namespace } from './namespace.ts';
import { prpSegments } from './prp.ts';
import { type CompletionQueue, MAX_ENTRIES, newCompletionQueue, QUEUES, type SubmissionQueue } from './queues.ts';

/** What the commands need of their controller. */
export interface AdminTarget {
  readonly serial: string;
  readonly namespace: Namespace;
  readonly dma: Dma;
  readonly page: number;
  readonly maxTransfer: number;
  readonly state: {
    submission: SubmissionQueue[];
    completion: CompletionQueue[];
    events: number[];
    features: Record<string, number>;
  };
  submissionQueue(id: number): SubmissionQueue | undefined;
  completionQueue(id: number): CompletionQueue | undefined;
  drop(queue: SubmissionQueue): void;
  dropCompletion(queue: CompletionQueue): void;
}

export interface Answer {
  readonly status: number;
  /** Dword 0 of the completion. */
  readonly result: number;
}

const OK: Answer = { status: STATUS.OK, result: 0 };
const EVENTS = 4;
const PAGE = 4096;
const ALL = 0xffff_ffff;
export const FEATURE = { ARBITRATION: 1, TEMPERATURE: 4, WRITE_CACHE: 6, QUEUES: 7, VECTOR: 9, EVENTS: 0x0b } as const;
/** What Get Features answers until the guest has set something. */
const DEFAULTS: Readonly<Record<number, number>> = { 1: 7, 2: 0, 4: 343, 5: 0, 6: 1, 8: 0, 9: 0, 10: 0, 11: 0 };

function fails(status: number): Answer {
  return { status, result: 0 };
}

/** Runs an admin command; undefined when its completion comes later, if ever. */
export function administer(nvme: AdminTarget, command: Command): Answer | undefined {
  if (command.unsupported) return fails(STATUS.INVALID_FIELD);
  switch (command.opcode) {
    case ADMIN.CREATE_CQ:
      return createCompletion(nvme, command);
    case ADMIN.CREATE_SQ:
      return createSubmission(nvme, command);
    case ADMIN.DELETE_SQ: {
      const queue = nvme.submissionQueue(command.dword(10) & 0xffff);
      if (!queue || queue.id === 0) return fails(STATUS.QUEUE_ID);
      nvme.drop(queue);
      return OK;
    }
    case ADMIN.DELETE_CQ: {
      const queue = nvme.completionQueue(command.dword(10) & 0xffff);
      if (!queue || queue.id === 0) return fails(STATUS.QUEUE_ID);
      if (nvme.state.submission.some(({ cq }) => cq === queue.id)) return fails(STATUS.QUEUE_DELETION);
      nvme.dropCompletion(queue);
      return OK;
    }
    case ADMIN.IDENTIFY:
      return identify(nvme, command);
    case ADMIN.GET_LOG_PAGE:
      return getLog(nvme, command);
    case ADMIN.SET_FEATURES:
      return setFeature(nvme, command);
    case ADMIN.GET_FEATURES:
      return getFeature(nvme, command);
    case ADMIN.ABORT:
      return { status: STATUS.OK, result: 1 }; // nothing was aborted
    case ADMIN.ASYNC_EVENT:
      if (nvme.state.events.length >= EVENTS) return fails(STATUS.EVENT_LIMIT);
      nvme.state.events.push(command.id);
      return undefined;
    default:
      return fails(STATUS.INVALID_OPCODE);
  }
}

function createCompletion(nvme: AdminTarget, command: Command): Answer {
  const [id, size] = [command.dword(10) & 0xffff, command.dword(10) >>> 16];
  const flags = command.dword(11);
  const vector = flags >>> 16;
  if (id === 0 || id >= QUEUES || nvme.completionQueue(id)) return fails(STATUS.QUEUE_ID);
  if (size === 0 || size > MAX_ENTRIES) return fails(STATUS.QUEUE_SIZE);
  if (command.prp1 % nvme.page) return fails(STATUS.PRP_OFFSET);
  if (vector >= QUEUES) return fails(STATUS.INTERRUPT_VECTOR);
  if (!(flags & 1)) return fails(STATUS.INVALID_FIELD); // only contiguous queues
  nvme.state.completion.push(newCompletionQueue(id, command.prp1, size + 1, vector, (flags & 2) !== 0));
  return OK;
}

function createSubmission(nvme: AdminTarget, command: Command): Answer {
  const [id, size] = [command.dword(10) & 0xffff, command.dword(10) >>> 16];
  const flags = command.dword(11);
  const cq = flags >>> 16;
  if (cq === 0 || !nvme.completionQueue(cq)) return fails(STATUS.CQ_INVALID);
  if (id === 0 || id >= QUEUES || nvme.submissionQueue(id)) return fails(STATUS.QUEUE_ID);
  if (size === 0 || size > MAX_ENTRIES) return fails(STATUS.QUEUE_SIZE);
  if (command.prp1 % nvme.page) return fails(STATUS.PRP_OFFSET);
  if (!(flags & 1)) return fails(STATUS.INVALID_FIELD);
  nvme.state.submission.push({ id, cq, base: command.prp1, size: size + 1, head: 0, tail: 0 });
  return OK;
}

/** Data to the host. */
function reply(nvme: AdminTarget, command: Command, data: Uint8Array): Answer {
  const segments = prpSegments(nvme.dma, command.prp1, command.prp2, data.length, nvme.page, true);
  if (typeof segments === 'number') return fails(segments);
  const whole = scatter(nvme.dma, segments, 0, data) === lengthOf(segments);
  return whole ? OK : fails(STATUS.DATA_TRANSFER);
}

function identify(nvme: AdminTarget, command: Command): Answer {
  const { namespace: id } = command;
  const { blocks, shift, disk } = nvme.namespace;
  switch (command.dword(10) & 0xff) {
    case 0:
      if (id === 0 || (id > NAMESPACES && id !== ALL)) return fails(STATUS.INVALID_NAMESPACE);
      if (id === ALL) return reply(nvme, command, identifyNamespace(0, shift, false));
      return reply(nvme, command, identifyNamespace(blocks, shift, disk.readOnly));
    case 1:
      return reply(nvme, command, identifyController(nvme.serial));
    case 2:
      if (id >= 0xffff_fffe) return fails(STATUS.INVALID_NAMESPACE);
      return reply(nvme, command, namespaceList(id));
    case 3:
      if (id !== NAMESPACES) return fails(STATUS.INVALID_NAMESPACE);
      return reply(nvme, command, new Uint8Array(PAGE)); // no identifiers
    default:
      return fails(STATUS.INVALID_FIELD);
  }
}

function getLog(nvme: AdminTarget, command: Command): Answer {
  const page = logPage(command.dword(10) & 0xff, nvme.namespace.counters);
  if (!page) return fails(STATUS.LOG_PAGE);
  const length = ((command.dword(10) >>> 16) + (command.dword(11) & 0xffff) * 0x1_0000 + 1) * 4;
  const offset = command.dword(12) + command.dword(13) * 2 ** 32;
  if (offset > page.length || offset % 4) return fails(STATUS.INVALID_FIELD);
  return reply(nvme, command, page.subarray(offset, Math.min(page.length, offset + length)));
}

function setFeature(nvme: AdminTarget, command: Command): Answer {
  const feature = command.dword(10) & 0xff;
  const value = command.dword(11);
  if (command.dword(10) >>> 31) return fails(STATUS.INVALID_FIELD); // nothing can be saved
  const { features } = nvme.state;
  switch (feature) {
    case FEATURE.QUEUES:
      if ((value & 0xffff) === 0xffff || value >>> 16 === 0xffff) return fails(STATUS.INVALID_FIELD);
      return { status: STATUS.OK, result: queueCounts() };
    case FEATURE.WRITE_CACHE:
      nvme.namespace.writeThrough = !(value & 1);
      features[feature] = value & 1;
      return OK;
    case FEATURE.ARBITRATION:
    case FEATURE.TEMPERATURE:
    case FEATURE.EVENTS:
      features[feature] = value;
      return OK;
    default:
      return fails(DEFAULTS[feature] === undefined ? STATUS.INVALID_FIELD : STATUS.NOT_CHANGEABLE);
  }
}

function getFeature(nvme: AdminTarget, command: Command): Answer {
  const feature = command.dword(10) & 0xff;
  if (feature === FEATURE.QUEUES) return { status: STATUS.OK, result: queueCounts() };
  if (feature === FEATURE.VECTOR) {
    const vector = command.dword(11) & 0xffff;
    if (vector >= QUEUES) return fails(STATUS.INVALID_FIELD);
    return { status: STATUS.OK, result: vector | (vector === 0 ? 0x1_0000 : 0) };
  }
  const result = nvme.state.features[feature] ?? DEFAULTS[feature];
  return result === undefined ? fails(STATUS.INVALID_FIELD) : { status: STATUS.OK, result };
}

/** I/O queues of each kind, less one. */
function queueCounts(): number {
  return ((QUEUES - 2) << 16) | (QUEUES - 2);
}
