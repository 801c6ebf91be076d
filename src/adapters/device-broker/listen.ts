/** Binding a listener, for devices and for the mesh: a port that is taken is an expected failure, with the address in it. */
import type { Server } from "node:net";
import { failure, type Result, success } from "../../lib/errors.ts";

export interface ListenAddress {
  readonly host: string;
  /** 0 lets the operating system choose; `boundPort` tells. */
  readonly port: number;
}

/** `what` names the listener for a person, e.g. "MQTT for devices". Fails with `port-in-use` or `configuration-invalid`. */
export function listen(server: Server, address: ListenAddress, what: string): Promise<Result<void>> {
  const where = `${address.host}:${address.port}`;
  return new Promise((resolve) => {
    const refused = (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") {
        resolve(failure("port-in-use", `${what}: ${where} is in use by another process. Stop that process, or choose another port.`));
      } else {
        resolve(
          failure("configuration-invalid", `${what}: cannot listen on ${where} (${error.code ?? error.message}). Check host and port.`),
        );
      }
    };
    server.once("error", refused);
    server.listen({ host: address.host, port: address.port }, () => {
      server.removeListener("error", refused);
      resolve(success(undefined));
    });
  });
}

/** The port that a listening server got; 0 when it does not listen. */
export function boundPort(server: Server): number {
  const address = server.address();
  return address === null || typeof address === "string" ? 0 : address.port;
}
