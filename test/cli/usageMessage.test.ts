import { expect, test } from 'vitest'
import { commandLine } from '../../lib/cli/parser.js'
import { helpCommand } from '../../lib/cli/usageMessage.js'

/** What is wrong with a command line; it fails when nothing is. */
async function complaint(args: string[]): Promise<string> {
  try {
    await commandLine(args, () => {}).parseAsync()
  } catch (error) {
    return (error as Error).message
  }
  throw new Error(`${args.join(' ')} was accepted`)
}

const names =
  'fuse, merge, finish, batch, verify, reproduce, analyse, report, inspect, convert, sft, data, teach, evaluate, regrade, ' +
  'compare, run, init, export, push, doctor'

test.each<[args: string[], message: string]>([
  [[], `Name a command: ${names}`],
  [['--json'], `Name a command: ${names}`],
  [['data'], 'Name a command: preview, prepare, select'],
  [['fuze', 'a', 'b'], 'Unknown command fuze: did you mean fuse?'],
  [['frobnicate', '--json'], `Unknown command frobnicate: expected one of ${names}`],
  [['data', 'peview'], 'Unknown command data peview: did you mean preview?'],
  [['inspect'], 'Expected inspect <path> but received 0 of 1 arguments'],
  [['fuse', 'a', '--out', 'x'], 'Expected fuse <left> <right> but received 1 of 2 arguments'],
  [['export', 'a', '--out', 'x'], 'Expected export <format> <directory> but received 1 of 2 arguments'],
  [['export', 'onnx', 'a', '--out', 'x'], 'Expected one of gguf for format but received "onnx"'],
  [['fuse', 'a', 'b'], 'Expected the option --out: Directory to write'],
  [['fuse', 'a', 'b', 'c', '--out', 'x'], 'Unexpected argument c: expected fuse <left> <right> --out PATH'],
  [['merge', 'recipe.yaml', 'out'], 'Unexpected argument out: expected merge [source] --out PATH'],
  [['fuse', 'a', 'b', '--outt', 'x'], 'Unknown option --outt: did you mean --out?'],
  [
    ['fuse', 'a', 'b', '--out', 'x', '--thread=3', '--lamda', '2'],
    'Unknown option --thread: did you mean --threads?\nUnknown option --lamda: did you mean --lambda?',
  ],
  [['sft', 'r.yaml', '--dry-run'], 'Unknown option --dry-run: did you mean --plan?'],
  [['fuse', 'a', 'b', '--dry-run', '--out', 'c'], 'Unknown option --dry-run: did you mean --plan?'],
  [['fuse', 'a', 'b', '-o', 'x'], 'Unknown option -o: did you mean --out?'],
  [['fuse', 'a', 'b', '--out', 'x', '--slurm'], 'Unknown option --slurm'],
  [
    ['fuse', 'a', 'b', '--out', 'x', '--preset', 'arce'],
    'Expected one of arcee, paper, paper-soft for --preset but received "arce" (did you mean arcee?)',
  ],
  [
    ['fuse', 'a', 'b', '--out', 'x', '--lambda'],
    'Expected a value for --lambda but received none; one that begins with - is written --lambda=VALUE',
  ],
  [
    ['merge', 'a & b', '--sbatch-arg', '--account=lab', '--slurm'],
    'Expected a value for --sbatch-arg but received none; one that begins with - is written --sbatch-arg=VALUE',
  ],
  [['fuse', 'a', 'b', '--out', 'x', '--threads', 'two'], 'Expected a number for --threads but received "two"'],
  [['data', 'preview', 'r.yaml', '--max-bad-rows=few'], 'Expected a number for --max-bad-rows but received "few"'],
  [['merge', 'a & b', '--parts', '2'], 'Expected --slurm with --parts'],
  [['merge', 'a & b', '--shard', '1/2', '--plan'], 'Expected only one of --shard and --plan'],
])('%j', async (args, message) => {
  expect(await complaint(args)).toBe(message)
})

test.each<[args: string[], command: string]>([
  [[], 'branchmerge --help'],
  [['frobnicate'], 'branchmerge --help'],
  [['data', '--json'], 'branchmerge data --help'],
  [['data', 'preview', 'run.yaml'], 'branchmerge data preview --help'],
  [['merge', '--', 'fuse'], 'branchmerge merge --help'],
])('help for %j', (args, command) => {
  expect(helpCommand(args)).toBe(command)
})
