import yargs, { type Argv, type Options } from 'yargs'
import { version } from '../version.js'
import { type Command, type CommandGroup, commands } from './commands.js'
import { UsageError } from './usageError.js'
import { usageMessage } from './usageMessage.js'

/** Does a command's work with its arguments. */
export type Execute = (command: Command, parsed: Record<string, unknown>) => void | Promise<void>

/** The whole command line. Parsing it throws what is wrong with it, or executes the command that it names. */
export function commandLine(given: readonly string[], execute: Execute): Argv {
  const args = withPathsBehindDashes(given)
  const parser = yargs(args)
  for (const entry of commands) declare(parser, entry, args, execute)
  return parser
    .scriptName('branchmerge')
    .locale('en')
    .usage('$0 <command>\n\nFine-tunes experts from one language model and merges them into one.')
    .demandCommand(1)
    .strict()
    .version(version)
    .help()
    .wrap(Math.min(110, parser.terminalWidth()))
    .exitProcess(false)
    .fail((message, error) => {
      throw error && error.name !== 'YError' ? error : new UsageError(usageMessage(message, args))
    })
}

function declare(parser: Argv, entry: Command | CommandGroup, args: readonly string[], execute: Execute): void {
  if ('commands' in entry) {
    const group = (argv: Argv) => {
      for (const command of entry.commands) declare(argv, command, args, execute)
      return argv.demandCommand(1)
    }
    parser.command(entry.usage, entry.describe, group, () => {})
    return
  }
  parser.command(
    entry.usage,
    entry.describe,
    (argv) => builder(argv, entry, args),
    (parsed) => execute(entry, parsed),
  )
}

function builder(argv: Argv, { positionals, options, examples }: Command, args: readonly string[]): Argv {
  for (const [name, positional] of Object.entries(positionals)) argv.positional(name, positional)
  for (const [name, option] of Object.entries(options)) argv.option(name, withValue(name, option))
  argv.check((parsed) => refuseValues(args, parsed, options))
  for (const [line, describe] of examples) argv.example(`$0 ${line}`, describe ?? '')
  return argv
}

/**
 * An option that is no flag needs a value: yargs would take it for absent without one. It would also make 0 of a number's empty text, as
 * an unset variable of the shell leaves it, and false of every other value of a flag than "true".
 */
function withValue(name: string, option: Options): Options {
  if (option.type === 'boolean') return option
  if (option.type !== 'number') return { ...option, requiresArg: true }
  return { ...option, string: true, requiresArg: true, coerce: (given) => numbersOf(name, given) }
}

/** A decimal number, or several where the option was given several times: what takes one tells so. */
function numbersOf(name: string, given: unknown): number | number[] | undefined {
  if (given === undefined) return undefined
  if (Array.isArray(given)) return given.map((each) => numbersOf(name, each) as number)
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(given as string)) return Number(given)
  throw new UsageError(`Expected a number for --${name} but received ${JSON.stringify(given)}`)
}

/** Options of which an empty text says something. */
const mayBeEmpty = new Set(['system'])

function refuseValues(args: readonly string[], parsed: Record<string, unknown>, options: Command['options']): true {
  for (const [name, { type }] of Object.entries(options)) {
    if (type === 'boolean') refuseFlagValue(args, name)
    else if (!mayBeEmpty.has(name) && [parsed[name]].flat().includes(''))
      throw new UsageError(`Expected a value for --${name} but received ""`)
  }
  return true
}

function refuseFlagValue(args: readonly string[], name: string): void {
  const given = args.find((arg) => arg.startsWith(`--${name}=`))
  if (given === undefined || /=(true|false)$/.test(given)) return
  throw new UsageError(`Expected --${name} without a value but received ${given}`)
}

/** What stands behind `--` is a path, also one that begins with a dash; yargs would leave it out of what it parses. */
function withPathsBehindDashes(args: readonly string[]): string[] {
  const at = args.indexOf('--')
  if (at < 0) return [...args]
  return [...args.slice(0, at), ...args.slice(at + 1).map((path) => (path.startsWith('-') ? `./${path}` : path))]
}
