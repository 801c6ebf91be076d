// The two ways to put a value that are measured, on bare sockets: the generator shares the machine with the servers, and every
// microsecond that it spends is taken from them.
import { connect, type Socket } from "node:net";

/** `undefined`: it was acknowledged; otherwise what went wrong. */
export type Answered = (problem: string | undefined) => void;

export interface Caller {
  put(key: string, value: Buffer, answered: Answered): void;
  close(): void;
}

export interface Protocol {
  /** Calls that one connection may have under way. */
  readonly lanesMax: number;
  open(port: number): Promise<Caller>;
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => {
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

/** What one HTTP request of a put looks like: the head up to the length of the body, and the body. */
export type HttpPut = (key: string, value: Buffer) => { readonly head: string; readonly body: Buffer };

export const fogbankPut: HttpPut = (key, value) => ({ head: `PUT /api/v1/kv/${key} HTTP/1.1\r\nhost: 127.0.0.1\r\n`, body: value });

/** etcd's JSON gateway: https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/ */
export const etcdJsonPut: HttpPut = (key, value) => ({
  head: "POST /v3/kv/put HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n",
  body: Buffer.from(JSON.stringify({ key: Buffer.from(key).toString("base64"), value: value.toString("base64") })),
});

/** HTTP/1.1 with keep-alive: one call at a time on a connection. */
export function http(put: HttpPut): Protocol {
  return { lanesMax: 1, open: (port) => httpCaller(port, put) };
}

async function httpCaller(port: number, put: HttpPut): Promise<Caller> {
  const socket = await open(port);
  let answered: Answered | undefined;
  let received: Buffer = Buffer.alloc(0);
  const settle = (problem: string | undefined): void => {
    const settled = answered;
    answered = undefined;
    settled?.(problem);
  };
  socket.on("error", (error) => settle(error.message));
  socket.on("close", () => settle("the connection was closed"));
  socket.on("data", (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const end = received.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = received.toString("latin1", 0, end).toLowerCase();
    const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
    if (length === undefined) return settle(`an answer without a length: ${head}`);
    if (received.length < end + 4 + Number(length)) return;
    const ok = head.startsWith("http/1.1 200");
    const answer = received;
    received = Buffer.alloc(0);
    settle(ok ? undefined : answer.toString("latin1"));
  });
  return {
    put: (key, value, done) => {
      answered = done;
      const { head, body } = put(key, value);
      const start = Buffer.from(`${head}content-length: ${body.length}\r\n\r\n`, "latin1");
      socket.write(Buffer.concat([start, body]));
    },
    close: () => {
      answered = undefined;
      socket.destroy();
    },
  };
}

const frameHeaderBytes = 9;
const FrameType = { Data: 0, Headers: 1, RstStream: 3, Settings: 4, Ping: 6, GoAway: 7, WindowUpdate: 8, Continuation: 9 } as const;
const FrameFlag = { Ack: 1, EndStream: 1, EndHeaders: 4 } as const;

function http2Frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(frameHeaderBytes + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

/** RFC 7541 §6.2.2, literal fields that enter no table: one block serves every request. */
function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const literals = Object.entries(headers).map(([name, value]) =>
    Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]),
  );
  return Buffer.concat(literals);
}

function lengthDelimited(field: number, bytes: Uint8Array): Buffer {
  const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...length]), bytes]);
}

/** etcdserverpb.PutRequest { bytes key = 1; bytes value = 2 } behind gRPC's flag and length. */
function grpcPut(key: string, value: Uint8Array): Buffer {
  const message = Buffer.concat([lengthDelimited(1, Buffer.from(key)), lengthDelimited(2, value)]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** etcd's own protocol: gRPC over HTTP/2 in plain text. */
export const etcdGrpc: Protocol = { lanesMax: 100, open: etcdGrpcCaller };

async function etcdGrpcCaller(port: number): Promise<Caller> {
  const socket = await open(port);
  const block = headerBlock({
    ":method": "POST",
    ":scheme": "http",
    ":path": "/etcdserverpb.KV/Put",
    ":authority": `127.0.0.1:${port}`,
    "content-type": "application/grpc",
    te: "trailers",
  });
  const windowUpdate = Buffer.alloc(4);
  // Answers are some forty bytes each: the greatest window lasts for fifty million of them.
  windowUpdate.writeUInt32BE(0x7fffffff - 65_535);
  socket.write(
    Buffer.concat([
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      http2Frame(FrameType.Settings, 0, 0, new Uint8Array(0)),
      http2Frame(FrameType.WindowUpdate, 0, 0, windowUpdate),
    ]),
  );
  interface Open {
    readonly answered: Answered;
    message: boolean;
  }
  const streams = new Map<number, Open>();
  let nextStream = 1;
  let received: Buffer = Buffer.alloc(0);
  const settleAll = (problem: string): void => {
    const open = [...streams.values()];
    streams.clear();
    for (const { answered } of open) answered(problem);
  };
  const ended = (id: number, problem: string | undefined): void => {
    const stream = streams.get(id);
    streams.delete(id);
    // gRPC sends a message only with the status OK: an error is a HEADERS frame and nothing else.
    stream?.answered(problem ?? (stream.message ? undefined : "gRPC answered with an error"));
  };
  const frame = (type: number, flags: number, id: number, payload: Buffer): void => {
    const stream = streams.get(id);
    if (type === FrameType.Data && payload.length > 5 && stream !== undefined) stream.message = true;
    if (type === FrameType.Settings && (flags & FrameFlag.Ack) === 0)
      socket.write(http2Frame(FrameType.Settings, FrameFlag.Ack, 0, new Uint8Array(0)));
    if (type === FrameType.Ping && (flags & FrameFlag.Ack) === 0) socket.write(http2Frame(FrameType.Ping, FrameFlag.Ack, 0, payload));
    if (type === FrameType.GoAway) settleAll("the server goes away");
    if (type === FrameType.RstStream) ended(id, "the stream was reset");
    if ((type === FrameType.Data || type === FrameType.Headers) && (flags & FrameFlag.EndStream) !== 0) ended(id, undefined);
  };
  socket.on("error", (error) => settleAll(error.message));
  socket.on("close", () => settleAll("the connection was closed"));
  socket.on("data", (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    let at = 0;
    while (received.length - at >= frameHeaderBytes) {
      const end = at + frameHeaderBytes + received.readUIntBE(at, 3);
      if (received.length < end) break;
      frame(received[at + 3] ?? 0, received[at + 4] ?? 0, received.readUInt32BE(at + 5) & 0x7fffffff, received.subarray(at + 9, end));
      at = end;
    }
    received = received.subarray(at);
  });
  return {
    put: (key, value, answered) => {
      const id = nextStream;
      nextStream += 2;
      streams.set(id, { answered, message: false });
      socket.write(
        Buffer.concat([
          http2Frame(FrameType.Headers, FrameFlag.EndHeaders, id, block),
          http2Frame(FrameType.Data, FrameFlag.EndStream, id, grpcPut(key, value)),
        ]),
      );
    },
    close: () => {
      streams.clear();
      socket.destroy();
    },
  };
}
