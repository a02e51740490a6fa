import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { type Command, commands, nameOf } from '../lib/cli/commands.js'
import { commandLine } from '../lib/cli/parser.js'
import * as api from '../lib/index.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const documents = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => join('docs', name))
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...documents].sort()
const read = (page: string) => readFileSync(join(root, page), 'utf8')
/** Without code, in which brackets and hashes mean something else. */
const prose = (page: string) =>
  read(page)
    .replace(/^```[\s\S]*?^```$/gm, '')
    .replace(/`[^`]*`/g, (code) => code.replace(/[[\]]/g, ''))

/** The anchors that GitHub gives to the headings of a page. */
function anchors(page: string): string[] {
  const seen = new Map<string, number>()
  return [
    ...read(page)
      .replace(/^```[\s\S]*?^```$/gm, '')
      .matchAll(/^#+ (.+)$/gm),
  ].map(([, heading]) => {
    const text = (heading as string).replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = text.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-')
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    return count === 0 ? slug : `${slug}-${count}`
  })
}

interface Link {
  page: string
  target: string
  anchor: string | undefined
}

const links: Link[] = pages.flatMap((page) =>
  [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, href]) => href as string)
    .filter((href) => !/^[a-z]+:/.test(href))
    .map((href) => {
      const [path, anchor] = href.split('#') as [string, string | undefined]
      return { page, target: path === '' ? page : relative(root, resolve(root, dirname(page), path)), anchor }
    }),
)

describe('links', () => {
  test('lead to files and headings that are there', () => {
    const dead = links.filter(
      ({ target, anchor }) =>
        !existsSync(join(root, target)) || (anchor !== undefined && !anchors(target).includes(anchor)),
    )
    expect(dead).toEqual([])
    expect(links.length).toBeGreaterThan(100)
  })

  test('from the README reach every page', () => {
    const reached = new Set(['README.md'])
    for (const page of reached) for (const link of links) if (link.page === page) reached.add(link.target)
    expect(pages.filter((page) => !reached.has(page))).toEqual([])
  })
})

/** Shell words of a line, without its comment, what it writes to a file, and words that are left out (…). */
function words(line: string): string[] {
  const found = line.replace(/ > \S+/, '').matchAll(/\s*(#.*$|(?:'[^']*'|"[^"]*"|[^\s'"])+)/g)
  return [...found]
    .map(([, word]) => word as string)
    .filter((word) => !word.startsWith('#') && word !== '…')
    .map((word) => word.replace(/['"]/g, ''))
}

/** Lines of `branchmerge` in blocks of code, continued lines joined. */
const commandLines = pages.flatMap((page) =>
  [...read(page).matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].flatMap(([, language, block]) =>
    (['', 'sh'].includes(language as string) ? (block as string) : '')
      .replace(/\\\n/g, ' ')
      .split('\n')
      .map((line) => line.trim().replace(/^\$ /, ''))
      .filter((line) => line.startsWith('branchmerge ') && !/[[|]/.test(line))
      .map((line) => ({ page, line })),
  ),
)

const leaves = commands.flatMap((entry) =>
  'commands' in entry
    ? entry.commands.map((command) => ({ name: `${entry.usage} ${nameOf(command)}`, command }))
    : [{ name: nameOf(entry), command: entry }],
)

describe('the command', () => {
  test.each(commandLines)('$page: $line', async ({ line }) => {
    let executed: Command | undefined
    const args = words(line).slice(1)
    await commandLine(args, (command) => {
      executed = command
    }).parseAsync()
    expect(executed).toBeDefined()
  })

  test.each(leaves.flatMap(({ name, command }) => command.examples.map(([line]) => ({ name, line }))))(
    '$name --help: $line',
    async ({ line, name }) => {
      await commandLine(words(line), ({ usage }) => expect(name).toContain(usage.split(' ')[0])).parseAsync()
    },
  )

  /** Whose options a section says that it has, too. */
  const shared: Record<string, string[]> = { merge: ['fuse'], batch: ['fuse', 'merge'] }
  const sections = new Map(
    read('docs/cli.md')
      .split(/^## branchmerge /m)
      .slice(1)
      .map((text) => [text.slice(0, text.indexOf('\n')), text]),
  )

  test.each(leaves)('docs/cli.md has the options of $name', ({ name, command }) => {
    const own = name.split(' ')[0] as string
    const text = [...sections]
      .filter(([title]) => [own, ...(shared[own] ?? [])].includes(title.split(' ')[0] as string))
      .join('\n')
    const missing = Object.keys(command.options).filter(
      (option) => option !== 'json' && !new RegExp(`--(no-)?${option}\\b(?!-)`).test(text),
    )
    expect(missing).toEqual([])
  })

  test('no page names an option that no command has', () => {
    const known = new Set(
      leaves.flatMap(({ command }) => Object.keys(command.options)).concat('help', 'version', 'no-card'),
    )
    // Programs whose own options the pages name.
    const others =
      /\b(vllm|sbatch|srun|npm|npx|cmake|mpirun|node|branchmerge-trainer|(?:bench|test)\/\S+\.sh|scontrol|LLaMA-Factory|script)\b|-D[A-Z]|Open MPI/
    const unknown = pages.flatMap((page) =>
      read(page)
        .split(/\n(?=\n|\||- |#)/)
        .filter((paragraph) => !others.test(paragraph))
        .flatMap((paragraph) => [...paragraph.matchAll(/(?<![\w-])--([a-z][\w-]*)/g)].map(([, name]) => name as string))
        .filter((name) => !known.has(name))
        .map((name) => `${page}: --${name}`),
    )
    expect(unknown).toEqual([])
  })
})

test('CONTRIBUTING.md has every folder of the sources', () => {
  const text = read('CONTRIBUTING.md')
  const folders = ['lib', 'native'].flatMap((top) =>
    readdirSync(join(root, top), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => `${top}/${name}`),
  )
  expect(folders.filter((folder) => !text.includes(`\`${folder}`))).toEqual([])
})

test('addresses of JSON Schemas lead to files of the package', () => {
  const recipes = readdirSync(join(root, 'recipes')).filter((name) => name.endsWith('.yaml'))
  const named = [...pages, ...recipes.map((name) => join('recipes', name))].flatMap((page) =>
    [...read(page).matchAll(/\$schema(?:=|": ")([^\s"]+)/g)].map(([, path]) => ({ page, path: path as string })),
  )
  const lost = named.filter(({ page, path }) => {
    const inPackage = path.replace(/^node_modules\/branchmerge\//, '')
    return !existsSync(inPackage === path ? join(root, dirname(page), path) : join(root, inPackage))
  })
  expect(lost).toEqual([])
  expect(named.length).toBeGreaterThan(6)
})

test('docs/api.md has every export', () => {
  const text = read('docs/api.md')
  expect(Object.keys(api).filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([])
  const imported = /import \{([^}]+)\} from 'branchmerge'/
    .exec(text)?.[1]
    ?.split(',')
    .map((name) => name.trim())
    .filter(Boolean)
  expect(imported?.toSorted()).toEqual(Object.keys(api).toSorted())
})
