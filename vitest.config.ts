import { configDefaults, defineConfig } from "vitest/config";
import { RETRY } from "./test/patience.ts";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Has a configuration of its own.
    exclude: [...configDefaults.exclude, "test/e2e/**"],
    testTimeout: 60_000,
    retry: RETRY,
  },
});
