// Lints C++ with clang-tidy, by the compile commands of a build directory.
//
//   node test/lintCpp.js CLANG_TIDY BUILD_DIRECTORY FILE ...     sources, and the headers of the project
//
// Most of what clang-tidy does for a file it does for the headers of the standard library: 19 s of 23 s for a small one. So files
// are put one after the other into one, and share that, where no macro, include path or name can tell that they are together. Not
// by #include: through what is included the static analyzer follows no paths, and some checks do not look there.
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'

/** @typedef {{ file: string, directory: string, command: string }} CompileCommand */
/** @typedef {{ file: string, from: string, flags: string[], settings: string, text: string, ends: boolean, alone: boolean, names: Set<string>, constants: Set<string>, lines: number }} Unit */
/** @typedef {{ failed: boolean, output: string }} Result */

const [clangTidy = '', build = '', ...paths] = process.argv.slice(2)
const files = paths.filter((path) => path.endsWith('.cc'))
const headers = paths.filter((path) => path.endsWith('.h'))
const directory = resolve(build, 'lint')
// Larger ones save little more, and leave a core without work at the end.
const maxLines = 3000

const chatter = /^(\d+ warnings?( and \d+ errors?)? (generated|treated).*|Suppressed.*|Error while.*|Use -header.*|)$/

/**
 * Names that a file declares outside functions and classes, where lines have no indentation. Qualified ones are of elsewhere.
 * @param {string} text
 */
function namesIn(text) {
  const names = /** @type {Set<string>} */ (new Set())
  const skipped = 'using namespace|namespace|template|static_assert|[A-Z_]+\\('
  for (const [line] of text.matchAll(new RegExp(`^(?!${skipped})[A-Za-z].*`, 'gm'))) {
    const name = /^[^(={;]*?([\w:~]+)(?:\[[^\]]*\])*\s*(?:[(={;]|: public|final\b|$)/.exec(line)?.[1]
    if (name !== undefined && !name.includes('::')) names.add(name)
  }
  return names
}

const included = /** @type {Map<string, Set<string>>} */ (new Map())

/**
 * Constants of the project's headers that a text includes, and of those that these include. A file may have its own of that name.
 * @param {string} text
 * @returns {Set<string>}
 */
function constantsFor(text) {
  const names = [...text.matchAll(/^#include "([^"]+)"/gm)].flatMap(([, name = '']) => {
    const header = headers.find((file) => `/${file}`.endsWith(`/${name}`))
    if (header === undefined) return []
    if (!included.has(header)) {
      included.set(header, new Set())
      const own = readFileSync(header, 'utf8')
      const constants = [...namesIn(own)].filter((constant) => /^k[A-Z]/.test(constant))
      included.set(header, new Set([...constants, ...constantsFor(own)]))
    }
    return [...(included.get(header) ?? [])]
  })
  return new Set(names)
}

/**
 * The folder of the .clang-tidy that holds for a file.
 * @param {string} file
 * @returns {string}
 */
function settingsOf(file) {
  const folder = dirname(file)
  return existsSync(join(folder, '.clang-tidy')) ? folder : settingsOf(folder)
}

/**
 * What of a command matters here, which is not how code is optimized.
 * @param {string} command
 */
const flagsOf = (command) =>
  command
    .slice(command.indexOf(' '), command.lastIndexOf(' -o '))
    .replaceAll(' -isystem ', ' -isystem')
    .split(' ')
    .filter((flag) => flag !== '' && !/^-(O|f|g|DNDEBUG|DBUILDING_NODE)/.test(flag))

/**
 * @param {string[]} flags
 * @param {string} file
 */
const commandOf = (flags, file) => `c++ ${flags.join(' ').replaceAll('-isystem', '-isystem ')} -o sources.o -c ${file}`

/** @param {string} flag */
const isPath = (flag) => /^-(I|isystem)/.test(flag)
/** @param {string} flag */
const isMacro = (flag) => flag.startsWith('-D')

/**
 * Whether files with these flags can be compiled as one, with the flags of both: paths and macros may be more, not other.
 * @param {string[]} a
 * @param {string[]} b
 */
function flagsAgree(a, b) {
  const others = (/** @type {string[]} */ flags) => flags.filter((flag) => !isPath(flag) && !isMacro(flag)).join(' ')
  const macros = new Map(a.filter(isMacro).map((flag) => [flag.split('=')[0], flag]))
  return others(a) === others(b) && b.filter(isMacro).every((flag) => (macros.get(flag.split('=')[0]) ?? flag) === flag)
}

/** A file and how it is compiled: as often as it is, each time with other flags. */
function readUnits() {
  const commands = /** @type {CompileCommand[]} */ (
    JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'))
  )
  const linted = new Set(files.map((file) => resolve(file)))
  return commands
    .filter(({ file }) => linted.has(file))
    .map(({ file, directory: from, command }) => {
      const text = readFileSync(file, 'utf8')
      const names = namesIn(text)
      const own = text.slice(text.lastIndexOf('\n#include'))
      const define = /^\s*#define/m
      return {
        file,
        from,
        flags: flagsOf(command),
        settings: settingsOf(file),
        text,
        // What the next file must not see: a macro, or a name of elsewhere.
        ends: define.test(own) || /^using [\w:]+::\w+;/m.test(text),
        // What earlier ones must not have seen: a macro for headers.
        alone: define.test(text.slice(0, -own.length)),
        names,
        constants: constantsFor(text),
        lines: text.split('\n').length,
      }
    })
}

/** @param {Unit[]} units */
const linesOf = (units) => units.reduce((sum, { lines }) => sum + lines, 0)

/**
 * Puts every file into the first group with such flags, its settings, room for it and none of its names.
 * @param {Unit[]} units
 */
function groupUnits(units) {
  const groups = /** @type {Unit[][]} */ ([])
  // Those that end a group come last.
  for (const unit of [...units].sort((a, b) => Number(a.ends) - Number(b.ends))) {
    const group = groups.find(
      (group) =>
        [...group, unit].every(
          ({ alone, flags, settings }) => !alone && flagsAgree(flags, unit.flags) && settings === unit.settings,
        ) &&
        !group.some(({ ends }) => ends) &&
        linesOf(group) + unit.lines <= maxLines &&
        group.every(
          (other) =>
            [...other.names].every((name) => !unit.names.has(name) && !unit.constants.has(name)) &&
            [...unit.names].every((name) => !other.constants.has(name)),
        ),
    )
    if (group === undefined) groups.push([unit])
    else group.push(unit)
  }
  return groups
}

/**
 * @param {string} from where compile_commands.json is
 * @param {string} file
 * @returns {Promise<Result>}
 */
const runClangTidy = (from, file) =>
  new Promise((done) => {
    const args = ['-p', from, '--quiet', '--warnings-as-errors=*', '--extra-arg=-Wno-unknown-warning-option', file]
    execFile(clangTidy, args, { maxBuffer: 2 ** 28 }, (error, stdout, stderr) =>
      done({ failed: error !== null, output: `${stdout}${stderr}` || `${error ?? ''}` }),
    )
  })

/**
 * The files of a group as one. What an earlier one includes is not included again, which the check for duplicates would report.
 * @param {Unit[]} group
 */
function joinFiles(group) {
  const included = /** @type {Set<string>} */ (new Set())
  const parts = group.map(({ file, text }) => {
    const lines = text.split('\n').map((line) => {
      const own = resolve(dirname(file), /^#include "([^"]+)"/.exec(line)?.[1] ?? '.')
      return own !== dirname(file) && existsSync(own) ? line.replace(/"[^"]+"/, `"${own}"`) : line
    })
    const kept = lines.map((line, i) => (included.has(line) && lines.indexOf(line) === i ? '' : line))
    for (const line of lines) if (line.startsWith('#include')) included.add(line)
    return kept.join('\n')
  })
  return parts.join('\n')
}

/**
 * Says where in its own file a line of the joined file is.
 * @param {Unit[]} group
 * @param {number} line
 */
function origin(group, line) {
  let left = line
  for (const { file, lines } of group) {
    if (left <= lines) return `${file}:${left}`
    left -= lines
  }
  throw new Error(`Expected a line of ${group.map(({ file }) => file).join(', ')} but received ${line}`)
}

let places = 0

/**
 * @param {Unit[]} group
 * @returns {Promise<Result>}
 */
async function lintGroup(group) {
  const [first] = group
  if (first === undefined) return { failed: false, output: '' }
  // Settings of a folder add to those of the folders above.
  const settings = join(directory, relative('.', first.settings))
  const place = join(settings, String(++places))
  mkdirSync(place, { recursive: true })
  if (settings !== directory) cpSync(join(first.settings, '.clang-tidy'), join(settings, '.clang-tidy'))
  const file = group.length > 1 ? join(place, 'sources.cc') : first.file
  if (group.length > 1) writeFileSync(file, joinFiles(group))
  const flags = [...new Set(group.flatMap(({ flags }) => flags))]
  const command = commandOf(flags, file)
  writeFileSync(join(place, 'compile_commands.json'), JSON.stringify([{ directory: first.from, command, file }]))
  const result = await runClangTidy(place, file)
  // Files that do not compile together are linted in halves: a name may mean two things.
  if (group.length > 1 && result.output.includes('[clang-diagnostic-error')) {
    const half = group.length >> 1
    const halves = [await lintGroup(group.slice(0, half)), await lintGroup(group.slice(half))]
    return { failed: halves.some(({ failed }) => failed), output: halves.map(({ output }) => output).join('') }
  }
  if (group.length === 1) return result
  // file:line of the joined file, wherever it is told.
  const [begin = '', ...rest] = result.output.split(`${file}:`)
  const output = rest.reduce((told, part) => {
    const line = String(Number.parseInt(part, 10))
    return `${told}${origin(group, Number(line))}${part.slice(line.length)}`
  }, begin)
  return { ...result, output }
}

rmSync(directory, { recursive: true, force: true })
const units = readUnits()
const built = new Set(units.map(({ file }) => file))
const commands = units.map(({ file, from, flags }) => ({ directory: from, command: commandOf(flags, file), file }))
mkdirSync(directory, { recursive: true })
writeFileSync(join(directory, 'compile_commands.json'), JSON.stringify(commands))
const tasks = [
  ...groupUnits(units)
    .sort((a, b) => linesOf(b) - linesOf(a))
    .map((group) => () => lintGroup(group)),
  // A file that the build leaves out, a fuzzer, gets the flags of its nearest neighbour.
  ...files.filter((file) => !built.has(resolve(file))).map((file) => () => runClangTidy(directory, file)),
]
console.log(`${files.length} files, ${tasks.length} calls of ${clangTidy}`)

async function work() {
  for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) {
    const { failed, output } = await task()
    const lines = output.split('\n').filter((line) => !chatter.test(line))
    if (lines.length > 0) console.log(lines.join('\n'))
    if (failed) process.exitCode = 1
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, work))
