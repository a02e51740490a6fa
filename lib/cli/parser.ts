import yargs, { type Argv, type Options } from 'yargs'
import { version } from '../version.js'
import { type Command, type CommandGroup, commands } from './commands.js'
import { UsageError } from './usageError.js'
import { usageMessage } from './usageMessage.js'

/** Does a command's work with its arguments. */
export type Execute = (command: Command, parsed: Record<string, unknown>) => void | Promise<void>

/** The whole command line. Parsing it throws what is wrong with it, or executes the command that it names. */
export function commandLine(args: readonly string[], execute: Execute): Argv {
  const parser = yargs(args)
  for (const entry of commands) declare(parser, entry, execute)
  return parser
    .scriptName('branchmerge')
    .locale('en')
    .usage('$0 <command>\n\nFine-tunes experts from one language model and merges them into one.')
    .demandCommand(1)
    .strict()
    .check((parsed) => refuseOtherThanNumbers(parsed, args))
    .version(version)
    .help()
    .wrap(Math.min(110, parser.terminalWidth()))
    .exitProcess(false)
    .fail((message, error) => {
      throw error && error.name !== 'YError' ? error : new UsageError(usageMessage(message, args))
    })
}

function declare(parser: Argv, entry: Command | CommandGroup, execute: Execute): void {
  if ('commands' in entry) {
    const group = (argv: Argv) => {
      for (const command of entry.commands) declare(argv, command, execute)
      return argv.demandCommand(1)
    }
    parser.command(entry.usage, entry.describe, group, () => {})
    return
  }
  parser.command(
    entry.usage,
    entry.describe,
    (argv) => builder(argv, entry),
    (parsed) => execute(entry, parsed),
  )
}

function builder(argv: Argv, { positionals, options, examples }: Command): Argv {
  for (const [name, positional] of Object.entries(positionals)) argv.positional(name, positional)
  for (const [name, option] of Object.entries(options)) argv.option(name, withValue(option))
  for (const [line, describe] of examples) argv.example(`$0 ${line}`, describe ?? '')
  return argv
}

/** An option that is no flag needs a value: yargs would take it for absent without one. */
const withValue = (option: Options): Options => (option.type === 'boolean' ? option : { ...option, requiresArg: true })

/** yargs makes NaN of what it expected to be a number. */
function refuseOtherThanNumbers(parsed: Record<string, unknown>, args: readonly string[]): true {
  const name = Object.keys(parsed).find((key) => Number.isNaN(parsed[key]))
  if (name === undefined) return true
  const at = args.findIndex((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`))
  const given = args[at]?.includes('=') ? args[at].slice(args[at].indexOf('=') + 1) : args[at + 1]
  throw new UsageError(`Expected a number for --${name} but received ${JSON.stringify(given)}`)
}
