import { nearestName } from '../validate.js'
import { type Command, type CommandGroup, commands, nameOf } from './commands.js'

/** What yargs found wrong with a command line, in words that say what to do. */
export function usageMessage(message: string, given: readonly string[]): string {
  const args = optionsAndWords(given)
  const { command, words, unknown, known } = commandOf(args)
  if (unknown !== undefined) return unknownCommand([...words, unknown].join(' '), unknown, known)
  if (command === undefined) return `Name a command: ${known.join(', ')}`
  if (message.startsWith(noValue)) return missingValue(message)
  const misspelt = unknownOptions(command, args)
  if (misspelt.length > 0) return misspelt.join('\n')
  return rephrasings.find(([pattern]) => pattern.test(message))?.[1](message, command) ?? message
}

/** The command whose help tells more: `branchmerge fuse --help`. */
export function helpCommand(args: readonly string[]): string {
  return ['branchmerge', ...commandOf(optionsAndWords(args)).words, '--help'].join(' ')
}

/** What is behind `--` is neither an option nor a command. */
const optionsAndWords = (args: readonly string[]): readonly string[] =>
  args.includes('--') ? args.slice(0, args.indexOf('--')) : args

interface Found {
  command?: Command
  /** Words that name the command, as far as they are known. */
  words: string[]
  /** The first word that names none of `known`. */
  unknown?: string
  known: string[]
}

function commandOf(args: readonly string[]): Found {
  const words = args.filter((arg) => !arg.startsWith('-'))
  let among: readonly (Command | CommandGroup)[] = commands
  for (let depth = 0; ; depth++) {
    const known = among.map(nameOf)
    const found = { words: words.slice(0, depth), known }
    const word = words[depth]
    if (word === undefined) return found
    const entry = among.find((candidate) => nameOf(candidate) === word)
    if (!entry) return { ...found, unknown: word }
    if (!('commands' in entry)) return { words: words.slice(0, depth + 1), command: entry, known }
    among = entry.commands
  }
}

function unknownCommand(command: string, word: string, known: readonly string[]): string {
  const near = nearestName(word, known)
  return `Unknown command ${command}: ${near ? `did you mean ${near}?` : `expected one of ${known.join(', ')}`}`
}

/** All of them at once: yargs tells of a missing option first, also where it is there but misspelt. */
function unknownOptions({ options }: Command, args: readonly string[]): string[] {
  const known = [...Object.keys(options), 'help', 'version']
  const spellings = new Set([...known, ...known.map((name) => `no-${name}`), ...known.map(camelCase)])
  return args.flatMap((arg) => {
    const [, option, name] = /^(--?([a-z][^=]*))/i.exec(arg) ?? []
    if (name === undefined || spellings.has(name)) return []
    const near = otherWords[name]?.find((word) => known.includes(word)) ?? nearestName(name, known)
    return `Unknown option ${option}${near ? `: did you mean --${near}?` : ''}`
  })
}

/** What other programs call it. */
const otherWords: Record<string, readonly string[]> = {
  'dry-run': ['plan'],
  dryrun: ['plan'],
  output: ['out'],
  o: ['out'],
  force: ['overwrite'],
}

const noValue = 'Not enough arguments following: '

function missingValue(message: string): string {
  const name = message.slice(noValue.length)
  return `Expected a value for --${name} but received none; one that begins with - is written --${name}=VALUE`
}

const camelCase = (name: string): string => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())

/** How yargs words a failure, and how we do. */
const rephrasings: [pattern: RegExp, rephrase: (message: string, command: Command) => string][] = [
  [
    /^Not enough non-option arguments: got (\d+), need at least (\d+)/,
    (message, { usage }) => {
      const [got, needed] = message.match(/\d+/g) as [string, string]
      return `Expected ${usage} but received ${got} of ${needed} arguments`
    },
  ],
  [
    /^Missing required arguments?: /,
    (message, { options }) =>
      afterColon(message)
        .split(', ')
        .map((name) => `Expected the option --${name}: ${options[name]?.describe}`)
        .join('\n'),
  ],
  [
    /^Unknown arguments?: /,
    (message, { usage, options }) =>
      `Unexpected argument ${afterColon(message)}: expected ${usage}${'out' in options ? ' --out PATH' : ''}`,
  ],
  [
    /^Invalid values:/,
    (message, { options }) =>
      [...message.matchAll(/Argument: (\S+), Given: (.*), Choices: (.*)$/gm)]
        .map(([, name, given, choices]) => {
          const known = (choices as string).replaceAll('"', '').split(', ')
          const near = nearestName((given as string).replaceAll('"', ''), known)
          const dashes = name && name in options ? '--' : ''
          const suggestion = near ? ` (did you mean ${near}?)` : ''
          return `Expected one of ${known.join(', ')} for ${dashes}${name} but received ${given}${suggestion}`
        })
        .join('\n'),
  ],
  [
    /^(Missing dependent arguments|Implications failed):/,
    (message) =>
      [...message.matchAll(/(\S+) -> (\S+)/g)]
        .map(([, name, implied]) => `Expected --${implied} with --${name}`)
        .join('\n'),
  ],
  [
    /^Arguments (\S+) and (\S+) are mutually exclusive$/,
    (message) => message.replace(/^Arguments (\S+) and (\S+).*/, 'Expected only one of --$1 and --$2'),
  ],
]

const afterColon = (message: string): string => message.slice(message.indexOf(': ') + 2)
