/**
 * The QEMU Machine Protocol over one byte stream.
 *
 * Spec: QEMU 7.2, "QEMU Machine Protocol Specification".
 * Departure: no out-of-band execution; the greeting does not offer it.
 *
 * Invariant: a client that sends without reading, sends rubbish or leaves in
 * the middle costs bounded memory and hurts nobody else.
 */
import type { ByteStream } from './byte-stream.ts';
import { type Control, ControlError, type ControlEvent } from './hub.ts';
import { JsonReader } from './json-reader.ts';
import { isObject, type Json, JsonError, writeJson } from './json-values.ts';
import { QMP_COMMANDS, versionOf } from './qmp-commands.ts';
import { bind } from './qmp-arguments.ts';

/** Bytes of input kept while a command is under way. */
const INPUT_LIMIT = 1 << 16;

type Members = { readonly [key: string]: Json };

export class QmpServer {
  private readonly stream: ByteStream;
  private readonly control: Control;
  private readonly pretty: boolean;
  private readonly reader = new JsonReader();
  private readonly encoder = new TextEncoder();
  private readonly unsubscribe: () => void;
  private waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private busy = false;
  private negotiated = false;
  /** Counts clients: an answer for one that has left must not reach the next. */
  private client = 0;
  private drained: (() => void) | undefined;

  constructor(stream: ByteStream, control: Control, pretty = false) {
    this.stream = stream;
    this.control = control;
    this.pretty = pretty;
    stream.room = () => Math.max(0, INPUT_LIMIT - this.waitingBytes);
    stream.onInput = (bytes) => this.input(bytes);
    stream.onDrain = () => this.drained?.();
    stream.onConnection = (connected) => this.connection(connected);
    this.unsubscribe = control.subscribe((event) => this.event(event));
    if (stream.connected !== false) this.connection(true);
  }

  close(): void {
    this.unsubscribe();
    this.stream.onInput = undefined;
    this.stream.onConnection = undefined;
    this.drained?.();
  }

  private connection(connected: boolean): void {
    this.client++;
    this.negotiated = false;
    this.waiting = [];
    this.waitingBytes = 0;
    this.reader.reset();
    this.drained?.();
    if (connected) this.send({ QMP: { version: versionOf(this.control), capabilities: [] } });
  }

  private input(bytes: Uint8Array): void {
    this.waiting.push(bytes.slice());
    this.waitingBytes += bytes.length;
    if (!this.busy) void this.work();
  }

  /** Answers what has come in, one command after the other. */
  private async work(): Promise<void> {
    this.busy = true;
    try {
      for (let bytes = this.waiting.shift(); bytes; bytes = this.waiting.shift()) {
        const client = this.client;
        for (const request of this.reader.read(bytes)) {
          const answer = await this.answer(request);
          if (client !== this.client) break;
          this.send(answer);
          if (this.stream.congested) await new Promise<void>((resolve) => (this.drained = resolve));
          if (client !== this.client) break;
        }
        if (client === this.client) this.waitingBytes -= bytes.length;
        this.stream.ready?.();
      }
    } finally {
      this.busy = false;
    }
  }

  private async answer(request: Json | JsonError): Promise<Members> {
    let id: Json | undefined;
    try {
      if (request instanceof JsonError) throw new ControlError(request.message);
      if (!isObject(request)) throw new ControlError('QMP input must be a JSON object');
      id = request.id;
      const result = await this.execute(request);
      return { return: result ?? {}, ...(id === undefined ? {} : { id }) };
    } catch (error) {
      const kind = error instanceof ControlError ? error.class : 'GenericError';
      const members = { error: { class: kind, desc: (error as Error).message } };
      return id === undefined ? members : { id, ...members };
    }
  }

  private async execute(request: Members): Promise<Json | undefined> {
    const name = request.execute;
    for (const key of Object.keys(request))
      if (!['execute', 'arguments', 'id'].includes(key))
        throw new ControlError(`QMP input member '${key}' is unexpected`);
    if (name === undefined) throw new ControlError("QMP input lacks member 'execute'");
    if (typeof name !== 'string') throw new ControlError("QMP input member 'execute' must be a string");
    const given = request.arguments ?? {};
    if (!isObject(given)) throw new ControlError("QMP input member 'arguments' must be an object");
    if (!this.negotiated) {
      if (name !== 'qmp_capabilities')
        throw new ControlError("Expecting capabilities negotiation with 'qmp_capabilities'", 'CommandNotFound');
      return this.negotiate(given);
    }
    if (name === 'qmp_capabilities')
      throw new ControlError('Capabilities negotiation is already complete, command ignored', 'CommandNotFound');
    const command = Object.hasOwn(QMP_COMMANDS, name) ? QMP_COMMANDS[name] : undefined;
    if (!command) throw new ControlError(`The command ${name} has not been found`, 'CommandNotFound');
    return command.run(this.control, bind(command.takes ?? {}, given));
  }

  private negotiate(given: Members): undefined {
    const { enable } = bind({ enable: 'array?' }, given);
    for (const capability of (enable as readonly Json[] | undefined) ?? []) {
      if (typeof capability !== 'string')
        throw new ControlError("Invalid parameter type for 'enable', expected: string");
      throw new ControlError(
        capability === 'oob'
          ? 'Capability oob not available'
          : `Parameter 'enable' does not accept value '${capability}'`,
      );
    }
    this.negotiated = true;
  }

  private event({ event, data, at }: ControlEvent): void {
    if (!this.negotiated) return;
    const seconds = Math.floor(at / 1000);
    const microseconds = Math.floor((at - seconds * 1000) * 1000);
    this.send({ timestamp: { seconds, microseconds }, event, ...(data === undefined ? {} : { data }) });
  }

  private send(message: Members): void {
    if (this.stream.connected === false) return;
    const text = writeJson(message, this.pretty);
    // QEMU ends lines like a terminal.
    this.stream.write(this.encoder.encode(text.replaceAll('\n', '\r\n') + '\r\n'));
  }
}
