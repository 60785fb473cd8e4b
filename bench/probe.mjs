/**
 * Loaded into a process beside its program (`node --expose-gc --import ./probe.mjs`): answers each message with the memory that is left
 * after garbage collection, and the processor time up to the question and up to the answer.
 */
process.on("message", async () => {
  const asked = process.cpuUsage();
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const answered = process.cpuUsage();
  process.send?.({
    memory: process.memoryUsage(),
    askedCpuMs: (asked.user + asked.system) / 1000,
    answeredCpuMs: (answered.user + answered.system) / 1000,
  });
});
process.once("disconnect", () => process.exit());
// To be listened to is no reason to stay.
process.channel?.unref();
