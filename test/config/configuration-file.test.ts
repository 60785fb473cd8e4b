import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, describe, expect, it } from "vitest";
import { configureClient } from "../../src/cli/client-command.ts";
import { configureServer } from "../../src/cli/server-command.ts";
import { readConfiguration, type Section } from "../../src/config/configuration-file.ts";
import { configurationSchema } from "../../src/config/json-schema.ts";
import { nearestWord } from "../../src/config/nearest-word.ts";
import { settingsOf } from "../../src/config/setting.ts";
import { createFolder } from "../proxy/local.ts";

const folder = createFolder();
afterAll(() => folder.remove());
const path = join(folder.path, "bats.yaml");
const roles = new Map([
  ["server", configureServer(new Command("server"))],
  ["client", configureClient(new Command("client"))],
]);

function read(text: string): Section[] {
  writeFileSync(path, text);
  return readConfiguration(path, roles);
}

/** The message without the file's name. */
function faultOf(text: string): string {
  try {
    read(text);
  } catch (error) {
    return (error as Error).message.replaceAll(`${path}:`, "");
  }
  throw new Error("it was accepted");
}

const FILES = "  ca: a\n  cert: b\n  key: c\n";

describe("a configuration file", () => {
  it("says what the command line would", () => {
    const [server, client] = read(
      `server:\n  listen: 4433\n  ca: /pki/ca.crt\n  cert: cloud.crt\n  key: ./cloud.key\n  allow: '*=tcp:127.0.0.1:80'\n` +
        `  unix-mode: 0660\n  log-format: json\n` +
        `client:\n  connect: [a:1, 'b:2']\n${FILES}  fail-fast: true\n  keep-alive: 1.5\n`,
    );
    expect(server.places.get("allow")).toMatch(/bats\.yaml:6:10$/);
    expect(server).toMatchObject({
      role: "server",
      arguments: [
        "--listen=4433",
        "--ca=/pki/ca.crt",
        `--cert=${join(folder.path, "cloud.crt")}`,
        `--key=${join(folder.path, "cloud.key")}`,
        "--allow=*=tcp:127.0.0.1:80",
        "--unix-mode=0660",
        "--log-format=json",
      ],
    });
    expect(client.arguments).toEqual(expect.arrayContaining(["--connect=a:1", "--connect=b:2", "--fail-fast"]));
    expect(client.arguments).toContain("--keep-alive=1.5");
  });

  it("is refused with line, column and key of each fault", () => {
    const server = `server:\n  listen: 4433\n${FILES}`;
    expect(faultOf(`${server}  alow: x\n`)).toBe("6:3: alow: server has no such setting; did you mean allow?");
    expect(faultOf(`${server}  allow:\n    - '*=tcp:1.2.3.4:80'\n    - edge\n`)).toMatch(
      /^8:7: allow: "edge": a rule is /,
    );
    expect(faultOf(`${server}  udp-idle: 0\n`)).toBe('6:13: udp-idle: "0": Write a number from 0.05 to 86400.');
    expect(faultOf(`${server}  log-level: loud\n`)).toMatch(/^6:14: log-level: "loud": Allowed choices are debug, /);
    expect(faultOf(`${server}  drain:\n`)).toBe("6:9: drain: a value is missing, wanted a number from 0 to 86400");
    expect(faultOf(`${server}  drain: [1, 2]\n`)).toBe("6:10: drain: one value, not a list");
    expect(faultOf(`${server}  drain: { a: 1 }\n`)).toMatch(/^6:10: drain: a value is missing/);
    expect(faultOf(`${server}  listen: 1\n`)).toMatch(/^6:3: Map keys must be unique/);
    expect(faultOf("server:\n  listen: 1\n  ca: a\n  cert: b\n")).toMatch(
      /^1:1: server: key is missing: its private key/,
    );
    expect(faultOf(`client:\n  connect: a:1\n${FILES}  fail-fast: maybe\n`)).toMatch(
      /"maybe" is neither true nor false/,
    );
    expect(faultOf("clint: {}\n")).toBe("1:1: clint: no section has that name; did you mean client?");
    expect(faultOf("server: 4433\n")).toMatch(/^1:9: server: its settings stand below it/);
    expect(faultOf("")).toMatch(/^1:1: there is no section: write "server:" or "client:"/);
    expect(faultOf("server:\n\tlisten: 1\n")).toMatch(/^2:1: /);
  });

  it("may say things once and refer to them: anchors, merged maps, sections of its own named x-", () => {
    const common = "x-files: &files\n  ca: /a\n  cert: &cert /b\n  key: /c\n";
    const [server, client] = read(
      `${common}server:\n  <<: *files\n  listen: 1\n  cert: /other\n  allow: &rules\n    - '*=tcp:1.2.3.4:80'\n` +
        `  allow-listen: *rules\n` +
        `client:\n  <<: [{ key: /d }, *files]\n  connect: a:1\n  crl: *cert\n`,
    );
    expect(server.arguments.toSorted()).toEqual(
      [
        ...["--allow-listen=*=tcp:1.2.3.4:80", "--allow=*=tcp:1.2.3.4:80"],
        ...["--ca=/a", "--cert=/other", "--key=/c", "--listen=1"],
      ].toSorted(),
    );
    expect(client.arguments.toSorted()).toEqual(["--ca=/a", "--cert=/b", "--connect=a:1", "--crl=/b", "--key=/d"]);
    expect(client.places.get("ca")).toMatch(/bats\.yaml:2:7$/);
    expect(faultOf(`server:\n  listen: 1\n  ca: a\n  cert: b\n  key: *none\n`)).toBe(
      "5:8: *none: nothing before has that anchor",
    );
    expect(faultOf(`server: &own\n  <<: *own\n`)).toMatch(/^2:7: <<: a map cannot be merged into itself/);
    expect(faultOf(`server:\n  <<: 1\n  listen: 1\n${FILES}`)).toMatch(/^2:7: <<: /);
  });

  it("reads a map once, however often it is merged", () => {
    const levels = Array.from({ length: 24 }, (_, i) => `x-${i + 1}: &l${i + 1} { <<: [*l${i}, *l${i}] }\n`);
    const [server] = read(`x-0: &l0 { listen: 1 }\n${levels.join("")}server:\n  <<: *l24\n${FILES}`);
    expect(server.arguments).toContain("--listen=1");
  });

  it("needs not say what is said elsewhere", () => {
    writeFileSync(path, "client:\n  ca: a\n  cert: b\n");
    expect(readConfiguration(path, roles, { given: new Set(["connect", "key"]) })[0].arguments).toHaveLength(2);
  });

  it("is told all its faults at once", () => {
    expect(faultOf(`server:\n  listen: x\n${FILES}  drain: -1\n  foo: 1\n`).split("\n")).toHaveLength(3);
  });

  it("may have what no command line can say refused: config and help are no settings", () => {
    expect(faultOf(`server:\n  listen: 1\n${FILES}  config: x\n`)).toMatch(/^6:3: config: server has no such setting/);
  });

  it("has a schema that is in docs, with every setting in it", () => {
    const schema = `${JSON.stringify(configurationSchema(roles), null, 2)}\n`;
    const committed = readFileSync(new URL("../../docs/bats-proxy.schema.json", import.meta.url), "utf8");
    expect(JSON.parse(committed), "run bats-proxy check --schema > docs/bats-proxy.schema.json").toEqual(
      JSON.parse(schema),
    );
    for (const [role, command] of roles) {
      const { properties, required } = JSON.parse(schema).properties[role];
      expect(Object.keys(properties)).toEqual([...settingsOf(command).keys()]);
      expect(required).toEqual(expect.arrayContaining(["ca", "cert", "key"]));
      expect(properties["udp-sources"]).toMatchObject({ type: "number", minimum: 1, maximum: 3000, default: 1000 });
      expect(properties["log-level"].enum).toContain("debug");
      expect(properties["unix-mode"].default).toBe("600");
    }
  });
});

describe("the nearest word", () => {
  it("is the one that was meant, or none", () => {
    expect(nearestWord("lisen", ["listen", "allow"])).toBe("listen");
    expect(nearestWord("alow-listen", ["allow", "allow-listen"])).toBe("allow-listen");
    expect(nearestWord("something", ["listen", "allow"])).toBeNull();
  });
});
