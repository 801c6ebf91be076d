/** Slash-separated paths as text, for parts that must not touch the file system. */

/** The folder of a file: `a/b.yaml` -> `a`, `b.yaml` -> ``, `/b.yaml` -> `/`. */
export function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === 0 ? "/" : path.slice(0, Math.max(slash, 0));
}

/** `target` as seen from `folder`, with `.` and `..` taken out where they can be. An absolute target stands for itself. */
export function resolveFrom(folder: string, target: string): string {
  const whole = target.startsWith("/") || folder === "" ? target : `${folder}/${target}`;
  const steps: string[] = [];
  for (const step of whole.split("/")) {
    const previous = steps.at(-1);
    if (step === "" || step === ".") continue;
    if (step === ".." && previous !== undefined && previous !== "..") steps.pop();
    else if (step !== ".." || !whole.startsWith("/")) steps.push(step);
  }
  if (whole.startsWith("/")) return `/${steps.join("/")}`;
  return steps.length === 0 ? "." : steps.join("/");
}
