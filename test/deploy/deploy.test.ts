/** What deploy/ and examples/ ask of systemd, containers, Kubernetes and bats-proxy itself is what those understand. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { Command } from "commander";
import { afterAll, describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { configureClient } from "../../src/cli/client-command.ts";
import { configureServer } from "../../src/cli/server-command.ts";
import { readConfiguration } from "../../src/config/configuration-file.ts";

const ROOT = new URL("../../", import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "bats-deploy-"));
afterAll(() => rmSync(folder, { recursive: true }));

const roles = new Map([
  ["server", configureServer(new Command("server"))],
  ["client", configureClient(new Command("client"))],
]);

function read(path: string): string {
  return readFileSync(new URL(path, ROOT), "utf8");
}

/** Its section's role. */
function checkSettings(text: string): string {
  const path = join(folder, "settings.yaml");
  writeFileSync(path, text);
  return readConfiguration(path, roles)[0].role;
}

// biome-ignore lint/suspicious/noExplicitAny: manifests have no types here.
function documents(path: string): any[] {
  return parseAllDocuments(read(path)).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS();
  });
}

const analyze = spawnSync("systemd-analyze", ["--version"]).error === undefined;
if (!analyze) console.warn("the units' faults and exposure are not looked for: there is no systemd-analyze");

/** A copy of a unit, in a folder of its own, whose program exists here. */
function unitPath(place: string, name: string): string {
  mkdirSync(join(folder, place), { recursive: true });
  const path = join(folder, place, name);
  writeFileSync(path, read(`deploy/systemd/${name}`).replace("/usr/bin/bats-proxy", process.execPath));
  return path;
}

function faults(path: string): string[] {
  const { stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", path], { encoding: "utf8" });
  return stderr.split("\n").filter((line) => line.includes(basename(path)) || line.includes(".conf"));
}

/** What systemd-analyze would rather have restricted. */
function exposures(path: string): string[] {
  const args = ["security", "--offline=true", "--json=short", path];
  const checks: { set: boolean; json_field: string }[] = JSON.parse(
    execFileSync("systemd-analyze", args, { encoding: "utf8" }),
  );
  return checks.filter(({ set }) => !set).map(({ json_field }) => json_field);
}

describe("systemd units", () => {
  const units = readdirSync(new URL("deploy/systemd/", ROOT)).filter((name) => name.endsWith(".service"));

  it.each(units)("%s starts what exists, tells when it is ready and reloads without a restart", (name) => {
    const unit = read(`deploy/systemd/${name}`);
    const [, role, path] = /^ExecStart=\/usr\/bin\/bats-proxy (\w+) --config (\S+)$/m.exec(unit)!;
    expect(roles.has(role)).toBe(true);
    expect(path).toBe(`/etc/bats-proxy/${role}.yaml`);
    expect(unit).toMatch(/^Type=notify$/m);
    expect(unit).toMatch(/^ExecReload=\/bin\/kill -HUP \$MAINPID$/m);
    expect(unit).toMatch(/^RestartPreventExitStatus=2 3$/m);
  });

  it.skipIf(!analyze).each(units)("%s has no fault that systemd-analyze finds, and little exposure", (name) => {
    const path = unitPath("plain", name);
    expect(faults(path)).toEqual([]);
    // From 0 to 100; a unit without any of it has 96.
    execFileSync("systemd-analyze", ["security", "--offline=true", "--threshold=25", path], { stdio: "pipe" });
  });

  it.skipIf(!analyze).each(units)("%s with tun.conf has CAP_NET_ADMIN and a device, and nothing else more", (name) => {
    const path = unitPath("tun", name);
    mkdirSync(`${path}.d`, { recursive: true });
    writeFileSync(join(`${path}.d`, "tun.conf"), read("deploy/systemd/tun.conf"));
    expect(faults(path)).toEqual([]);
    const without = exposures(unitPath("other", name));
    expect(exposures(path).filter((field) => !without.includes(field))).toEqual([
      "PrivateDevices",
      "CapabilityBoundingSet_CAP_NET_ADMIN",
    ]);
  });
});

describe("the container", () => {
  it("is not root, starts the program that is built, and takes only what it needs", () => {
    const file = read("deploy/container/Containerfile");
    const last = file.slice(file.lastIndexOf("\nFROM "));
    expect(last).toMatch(/^USER 65532:65532$/m);
    const [, entry] = /ENTRYPOINT \["\/nodejs\/bin\/node", "\/app\/(.+)"\]/.exec(last)!;
    expect(existsSync(new URL(entry, ROOT)), "run npm run build first").toBe(true);
    const copied = [...last.matchAll(/COPY --from=build \/app\/(\S+)/g)].map(([, name]) => name);
    expect(copied).toEqual(["package.json", "node_modules", "dist"]);
    const node = Number(/nodejs(\d+)-/.exec(last)![1]);
    expect(file).toContain(`node:${node}-`);
    expect(read(".containerignore")).toContain("node_modules");
  });
});

describe("Kubernetes manifests", () => {
  const files = ["deploy/kubernetes/cloud-gateway.yaml", "deploy/kubernetes/edge-daemonset.yaml"];

  it.each(files)("%s runs without root, privileges or a disk to write to, with settings that are right", (path) => {
    const all = documents(path);
    const config = all.find(({ kind }) => kind === "ConfigMap");
    const workload = all.find(({ kind }) => kind === "Deployment" || kind === "DaemonSet");
    const { spec } = workload.spec.template;
    const [container] = spec.containers;
    expect(workload.spec.selector.matchLabels).toEqual(workload.spec.template.metadata.labels);
    expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 65532 });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    const [role, , settingsPath] = container.args;
    expect(checkSettings(config.data[`${role}.yaml`])).toBe(role);
    const settings = parse(config.data[`${role}.yaml`])[role];
    const mounts = container.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath);
    for (const file of [settingsPath, settings.ca, settings.cert, settings.key]) {
      expect(
        mounts.some((mount: string) => file === mount || file.startsWith(`${mount}/`)),
        file,
      ).toBe(true);
    }
    for (const { mountPath, subPath } of container.volumeMounts) {
      expect(subPath, "a subPath does not follow its ConfigMap").toBeUndefined();
      expect(mounts.filter((other: string) => other.startsWith(`${mountPath}/`))).toEqual([]);
    }
    const volumes = spec.volumes.map(({ name }: { name: string }) => name);
    for (const { name } of container.volumeMounts) expect(volumes).toContain(name);
    expect(Number(settings.drain ?? 10)).toBeLessThan(spec.terminationGracePeriodSeconds);
    expect(container.livenessProbe.httpGet.path).toBe("/healthz");
    expect(container.readinessProbe.httpGet.path).toBe("/readyz");
  });

  it("lead UDP to the port where the gateway listens, and probes to its metrics", () => {
    const [config, deployment, service] = documents(files[0]);
    const settings = parse(config.data["server.yaml"]).server;
    const [container] = deployment.spec.template.spec.containers;
    expect(service.spec.selector).toEqual(deployment.spec.selector.matchLabels);
    const [{ targetPort, protocol }] = service.spec.ports;
    const port = container.ports.find(({ name }: { name: string }) => name === targetPort);
    expect([protocol, port.protocol, port.containerPort]).toEqual(["UDP", "UDP", settings.listen]);
    const metrics = container.ports.find(
      ({ name }: { name: string }) => name === container.readinessProbe.httpGet.port,
    );
    expect(settings.metrics).toBe(`0.0.0.0:${metrics.containerPort}`);
    // Two processes would each have half of the sessions.
    expect([deployment.spec.replicas, deployment.spec.strategy.type]).toEqual([1, "Recreate"]);
  });

  it("run the edge's end on edge nodes, in the node's network", () => {
    const [config, daemons] = documents(files[1]);
    const { spec } = daemons.spec.template;
    expect(spec.hostNetwork).toBe(true);
    expect(spec.nodeSelector).toEqual({ "node-role.kubernetes.io/edge": "" });
    const { metrics } = parse(config.data["client.yaml"]).client;
    const [{ readinessProbe, livenessProbe }] = spec.containers;
    for (const { httpGet } of [readinessProbe, livenessProbe]) expect(`${httpGet.host}:${httpGet.port}`).toBe(metrics);
  });

  it("share no port and no folder with the systemd unit that brings KubeEdge to the same node", () => {
    const [config, daemons] = documents(files[1]);
    const pod = parse(config.data["client.yaml"]).client;
    const unit = parse(read("examples/kubeedge/edge.yaml")).client;
    const portsOf = ({ metrics, local }: { metrics: string | number; local: string | string[] }) => [
      `tcp:127.0.0.1:${String(metrics).split(":").at(-1)}`,
      ...[local].flat().map((forward) => forward.split("=")[0]),
    ];
    expect(portsOf(pod).filter((port) => portsOf(unit).includes(port))).toEqual([]);
    const [{ hostPath }] = daemons.spec.template.spec.volumes.filter((volume: object) => "hostPath" in volume);
    expect(hostPath.path).not.toBe(dirname(unit.key));
  });
});

describe("example configurations", () => {
  it.each(["cloud.yaml", "edge.yaml"])("examples/kubeedge/%s is right", (name) => {
    expect(["server", "client"]).toContain(checkSettings(read(`examples/kubeedge/${name}`)));
  });

  it.each(["cloud.yaml", "edge.yaml"])("examples/kubeedge/%s waits for no file that the join brings", (name) => {
    // keadm's join goes through bats-proxy, and edgecore writes what it gets there under /etc/kubeedge.
    const [{ ca, cert, key }] = Object.values(parse(read(`examples/kubeedge/${name}`))) as Record<string, string>[];
    for (const path of [ca, cert, key]) expect(path).toMatch(/^\/etc\/bats-proxy\/[^/]+$/);
  });
});
