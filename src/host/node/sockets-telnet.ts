/**
 * The least of telnet: ask a client for character mode and take its commands
 * out of the stream.
 *
 * Spec: RFC 854 (telnet), RFC 856 (binary), RFC 857 (echo), RFC 858 (suppress go-ahead).
 * Departure: answers to our offers are not tracked.
 */
const IAC = 255;
const [WILL, DONT, SB, SE] = [251, 254, 250, 240];
const DO = 253;
const [BINARY, ECHO, SUPPRESS_GO_AHEAD] = [0, 1, 3];

export const TELNET_GREETING = Uint8Array.from(
  [WILL, ECHO, WILL, SUPPRESS_GO_AHEAD, WILL, BINARY, DO, BINARY].flatMap((code, i) => (i % 2 ? [code] : [IAC, code])),
);

/** Doubles the command byte where it is data. */
export function escapeTelnet(bytes: Uint8Array): Uint8Array {
  if (!bytes.includes(IAC)) return bytes;
  return Uint8Array.from([...bytes].flatMap((byte) => (byte === IAC ? [IAC, IAC] : [byte])));
}

/** Takes commands out of what a client sends; they may be split anywhere. */
export class TelnetFilter {
  private state: 'data' | 'command' | 'option' | 'sub' | 'sub-command' = 'data';
  private afterReturn = false;

  filter(bytes: Uint8Array): Uint8Array {
    const data: number[] = [];
    for (const byte of bytes) this.byte(byte, data);
    return Uint8Array.from(data);
  }

  private byte(byte: number, data: number[]): void {
    switch (this.state) {
      case 'data':
        if (byte === IAC) this.state = 'command';
        // A client in line mode ends lines with CR LF or CR NUL.
        else if (!(this.afterReturn && (byte === 0 || byte === 10))) data.push(byte);
        this.afterReturn = byte === 13;
        return;
      case 'command':
        if (byte === IAC) data.push(byte);
        this.state = byte === SB ? 'sub' : byte >= WILL && byte <= DONT ? 'option' : 'data';
        return;
      case 'option':
        this.state = 'data';
        return;
      case 'sub':
        if (byte === IAC) this.state = 'sub-command';
        return;
      case 'sub-command':
        this.state = byte === SE ? 'data' : 'sub';
    }
  }
}
