import { configDefaults, defineConfig } from "vitest/config";
import { RETRY } from "./test/patience.ts";

/** No clock but a virtual one, no sockets, no other process: the same every time. */
const EXACT = [
  "codec",
  "compression",
  "config",
  "congestion",
  "docs",
  "gf",
  "golden",
  "simulator",
  "soak",
  "transport",
];
const exact = [
  ...EXACT.map((folder) => `test/${folder}/**/*.test.ts`),
  "test/tun/{byte-work,coalescer,ip-packet,segmenter,tcp-train}.test.ts",
  "test/tunnel/{fair-queue,packet-edits,packet-path,prefix-table,resequencer,tunnel-rules}.test.ts",
];

export default defineConfig({
  test: {
    testTimeout: 60_000,
    setupFiles: ["test/setup.ts"],
    projects: [
      // They disturb each other only by the time they take.
      { extends: true, test: { name: "exact", include: exact, maxWorkers: 2, sequence: { groupOrder: 0 } } },
      {
        extends: true,
        test: {
          name: "real",
          include: ["test/**/*.test.ts"],
          // End-to-end tests have a configuration of their own.
          exclude: [...configDefaults.exclude, ...exact, "test/e2e/**"],
          retry: RETRY,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
