declare const __FOGBANK_VERSION__: string | undefined;

/** The version of this build: scripts/build.mjs puts package.json's in place of the name; from source it is `0.0.0-dev`. */
export const version: string = typeof __FOGBANK_VERSION__ === "string" ? __FOGBANK_VERSION__ : "0.0.0-dev";
