import { starterSite } from "../../config/starter-site.ts";
import type { ExitStatus } from "../../lib/errors.ts";
import { resolveFrom } from "../../lib/file-path.ts";
import { print, unwrap, usageError } from "../command.ts";
import { plain } from "../terminal.ts";
import type { World } from "../world.ts";
import { writeTemplate } from "../write-template.ts";

/** `fogbank init`: a starter site that starts as it is. Overwrites nothing: with any of its files present it writes none. */
export async function init(world: World, folder: string | undefined, options: { readonly output: string }): Promise<ExitStatus> {
  const target = folder ?? ".";
  const name = /^[a-z0-9][a-z0-9_-]{0,62}$/i.test(lastStep(target)) ? lastStep(target) : "my-site";
  const files = starterSite({ site: name, secret: world.secret(32) });
  const present = files.filter((file) => world.files.exists(resolveFrom(target, file.path)));
  if (present.length > 0) {
    throw usageError(
      `${plain(target)} holds ${present.map((file) => file.path).join(", ")} already; nothing was written. Choose another folder, or move them away`,
    );
  }
  unwrap(writeTemplate(world, target, files));
  const written = { folder: target, files: files.map((file) => resolveFrom(target, file.path)) };
  return print(world, options, written, (all) => {
    for (const file of all.files) world.out.write(`${plain(file)}\n`);
    const inside = target === "." ? "" : `cd ${plain(target)} && `;
    world.out.write(`\nNext: ${inside}fogbank check && fogbank start\n`);
  });
}

function lastStep(path: string): string {
  return (
    path
      .split("/")
      .filter((step) => step !== "" && step !== "." && step !== "..")
      .at(-1) ?? ""
  );
}
