/** `npm run test:e2e`: the built command between real programs, in network namespaces where that needs root. One file after the other. */
import { defineConfig } from "vitest/config";
import { RETRY } from "./test/patience.ts";

export default defineConfig({
  test: {
    include: ["test/e2e/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    fileParallelism: false,
    testTimeout: process.env["BATS_LONG"] === undefined ? 120_000 : 1_200_000,
    hookTimeout: 60_000,
    retry: RETRY,
  },
});
