/** What the demo can be told. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { PathOptions } from "./path-emulator.ts";

export interface DemoOptions {
  path: PathOptions;
  totalBytes: number;
  /** When a download that is not through is stopped. */
  limitMs: number;
  /** Never uses namespaces. */
  simulate: boolean;
  /** The file that is written at the end. */
  report: string;
}

const HELP = `npm run demo -- [options]
  --rate MBPS      the bad path's rate (20)
  --delay MS       its delay, one way (50)
  --loss PERCENT   packets lost, each way (10)
  --size MIB       what is downloaded (20)
  --seconds S      when a download that is not through is stopped (30)
  --simulate       without network namespaces: the direct download is the simulator's TCP
  --report FILE    the web page that is left (.demo/report.html)
`;

/** Ends the process for --help and for what makes no sense. */
export function readOptions(args: string[]): DemoOptions {
  try {
    const string = { type: "string" } as const;
    const boolean = { type: "boolean" } as const;
    const { values } = parseArgs({
      args,
      options: {
        rate: string,
        delay: string,
        loss: string,
        size: string,
        seconds: string,
        simulate: boolean,
        report: string,
        help: boolean,
      },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    return {
      path: {
        rateMbps: number("rate", values.rate, 20, 0.1, 1000),
        delayMs: number("delay", values.delay, 50, 0, 2000),
        loss: number("loss", values.loss, 10, 0, 90) / 100,
        queueMs: 50,
      },
      totalBytes: Math.round(number("size", values.size, 20, 0.01, 2000) * 2 ** 20),
      limitMs: 1000 * number("seconds", values.seconds, 30, 1, 3600),
      simulate: values.simulate ?? false,
      report: resolve(values.report ?? ".demo/report.html"),
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

function number(name: string, text: string | undefined, otherwise: number, least: number, most: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (value >= least && value <= most) return value;
  throw new Error(`--${name} is ${JSON.stringify(text)}, wanted a number from ${least} to ${most}`);
}
