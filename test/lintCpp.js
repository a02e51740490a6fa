// Lints C++ with clang-tidy, by the compile commands of a build directory.
//
//   node test/lintCpp.js CLANG_TIDY BUILD_DIRECTORY FILE ...     sources, and the headers of the project
//
// Most of what clang-tidy does for a file it does for the headers of the standard library. So files with the same flags are
// put one after the other into one, and share that. Not by #include: through what is included the static analyzer follows no
// paths, and some checks do not look there.
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'

/** @typedef {{ file: string, directory: string, command: string }} CompileCommand */
/** @typedef {{ file: string, from: string, flags: string, settings: string, text: string, alone: boolean, names: Set<string>, lines: number }} Unit */
/** @typedef {{ failed: boolean, output: string }} Result */

const [clangTidy = '', build = '', ...paths] = process.argv.slice(2)
const files = paths.filter((path) => path.endsWith('.cc'))
const headers = paths.filter((path) => path.endsWith('.h'))
const directory = resolve(build, 'lint')
// Larger ones save little more, and leave a core without work at the end.
const maxFiles = 12
const maxLines = 2000

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

/**
 * The folder of the .clang-tidy that holds for a file.
 * @param {string} file
 * @returns {string}
 */
function settingsOf(file) {
  const folder = dirname(file)
  return existsSync(join(folder, '.clang-tidy')) ? folder : settingsOf(folder)
}

/** A file and how it is compiled: as often as it is, each time with other flags. */
function readUnits() {
  const commands = /** @type {CompileCommand[]} */ (
    JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'))
  )
  const linted = new Set(files.map((file) => resolve(file)))
  const constants = new Set(
    headers.flatMap((file) => [...namesIn(readFileSync(file, 'utf8'))].filter((name) => /^k[A-Z]/.test(name))),
  )
  return commands
    .filter(({ file }) => linted.has(file))
    .map(({ file, directory: from, command }) => {
      const text = readFileSync(file, 'utf8')
      const names = namesIn(text)
      return {
        file,
        from,
        flags: command.slice(command.indexOf(' '), command.lastIndexOf(' -o ')),
        settings: settingsOf(file),
        text,
        // What the next file must not see: a macro, or a name that it takes from a header.
        alone: /^\s*(#define|using [\w:]+::\w+;)/m.test(text) || [...names].some((name) => constants.has(name)),
        names,
        lines: text.split('\n').length,
      }
    })
}

/** @param {Unit[]} units */
const linesOf = (units) => units.reduce((sum, { lines }) => sum + lines, 0)

/**
 * Puts every file into the first group with its flags and settings, room for it and none of its names.
 * @param {Unit[]} units
 */
function groupUnits(units) {
  const groups = /** @type {Unit[][]} */ ([])
  for (const unit of units) {
    const group = groups.find(
      (group) =>
        [...group, unit].every(
          ({ alone, flags, settings }) => !alone && flags === unit.flags && settings === unit.settings,
        ) &&
        group.length < maxFiles &&
        linesOf(group) + unit.lines <= maxLines &&
        group.every(({ names }) => [...names].every((name) => !unit.names.has(name))),
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
  const command = `c++ ${first.flags} -o sources.o -c ${file}`
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
const tasks = [
  ...groupUnits(units)
    .sort((a, b) => linesOf(b) - linesOf(a))
    .map((group) => () => lintGroup(group)),
  // A file that the build leaves out, a fuzzer, gets the flags of its nearest neighbour.
  ...files.filter((file) => !built.has(resolve(file))).map((file) => () => runClangTidy(build, file)),
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
