import { describe, expect, test } from 'vitest'
import { type Command, commands } from '../../lib/cli/commands.js'
import { commandLine } from '../../lib/cli/parser.js'

const all: [words: string[], command: Command][] = commands.flatMap((entry): [string[], Command][] => {
  const [name] = entry.usage.split(' ') as [string]
  if (!('commands' in entry)) return [[[name], entry]]
  return entry.commands.map((command): [string[], Command] => [[name, command.usage.split(' ')[0] as string], command])
})

/** The command with every argument and option that it needs, and what another one implies. */
function complete([words, { positionals, options }]: [string[], Command], name: string): string[] {
  const { choices } = { choices: undefined, ...positionals.format }
  const places = Object.keys(positionals).map((place) => (place === 'format' ? String(choices?.[0]) : 'x'))
  const needed = Object.entries(options).flatMap(([other, { demandOption }]) => (demandOption ? [`--${other}=x`] : []))
  const implied = options[name]?.implies
  const flag =
    typeof implied !== 'string' ? [] : [options[implied]?.type === 'boolean' ? `--${implied}` : `--${implied}=x`]
  return [...words, ...places, ...needed.filter((each) => !each.startsWith(`--${name}=`)), ...flag]
}

/** The arguments as the command gets them, or what is wrong with them. */
async function parse(args: string[]): Promise<Record<string, unknown> | string> {
  let parsed: Record<string, unknown> | undefined
  try {
    await commandLine(args, (_, given) => {
      parsed = given
    }).parseAsync()
  } catch (error) {
    return (error as Error).message
  }
  return parsed ?? 'nothing was parsed'
}

const optionsOf = (kind: (type: unknown, name: string) => boolean) =>
  all.flatMap(([words, command]) =>
    Object.entries(command.options)
      .filter(([name, { type }]) => kind(type, name))
      .map(
        ([name, { choices }]) =>
          [[...words, `--${name}`].join(' '), complete([words, command], name), name, choices] as const,
      ),
  )

describe('a number', () => {
  const numbers = optionsOf((type) => type === 'number')
  test('is an option of most commands', () => expect(numbers.length).toBeGreaterThan(20))

  test.each(numbers)('%s', async (_, args, name) => {
    for (const value of ['', ' ', 'x', '0x10', '1_000', 'Infinity', 'NaN', '1e', '--']) {
      expect(await parse([...args, `--${name}=${value}`])).toBe(
        `Expected a number for --${name} but received ${JSON.stringify(value)}`,
      )
    }
    expect(await parse([...args, `--${name}`, ''])).toBe(`Expected a number for --${name} but received ""`)
    for (const [text, value] of [
      ['0', 0],
      ['12', 12],
      ['-1', -1],
      ['.5', 0.5],
      ['1e-8', 1e-8],
    ] as const) {
      expect(await parse([...args, `--${name}=${text}`])).toMatchObject({ [name]: value })
    }
  })
})

test.each(optionsOf((type, name) => type !== 'number' && type !== 'boolean' && name !== 'system'))(
  'a text is not empty: %s',
  async (_, args, name, choices) => {
    const refusal = choices
      ? `Expected one of ${choices.join(', ')} for --${name} but received ""`
      : `Expected a value for --${name} but received ""`
    expect(await parse([...args, `--${name}`, ''])).toBe(refusal)
    // Of a list yargs says that there is none.
    const ofList = `Expected a value for --${name} but received none`
    expect(
      String(await parse([...args, `--${name}=`])).startsWith(
        ['train-tokenizer', 'read-batch'].includes(name) ? ofList : refusal,
      ),
    ).toBe(true)
  },
)

test.each(optionsOf((type) => type === 'boolean'))(
  'a flag has no value but true and false: %s',
  async (_, args, name) => {
    for (const value of ['', 'yes', '1']) {
      expect(await parse([...args, `--${name}=${value}`])).toBe(
        `Expected --${name} without a value but received --${name}=${value}`,
      )
    }
    for (const [text, value] of [
      [`--${name}`, true],
      [`--${name}=true`, true],
      [`--no-${name}`, false],
    ] as const) {
      expect(await parse([...args, text])).toMatchObject({ [name]: value })
    }
  },
)

test('an empty system text says that there is none', async () => {
  expect(await parse(['data', 'preview', '--system', ''])).toMatchObject({ system: '' })
})

test('what stands behind -- is a path, also one that begins with a dash', async () => {
  expect(await parse(['fuse', '--out', 'o', '--', '-left', '--right'])).toMatchObject({
    left: './-left',
    right: './--right',
  })
  expect(await parse(['fuse', 'left', '--out', 'o', '--', 'right'])).toMatchObject({ left: 'left', right: 'right' })
  expect(await parse(['batch', 'a.yaml', '--', '-b.yaml'])).toMatchObject({ files: ['a.yaml', './-b.yaml'] })
})

test.each(all)('nothing behind -- is dropped: %s', async (words, command) => {
  const args = complete([words, command], '')
  expect(typeof (await parse([...args, '--']))).toBe('object')
  const parsed = await parse([...args, '--', 'one', '-two'])
  if (typeof parsed === 'string') expect(parsed).toContain('one')
  else expect(JSON.stringify(parsed)).toContain('./-two')
})
