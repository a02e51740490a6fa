import { checkObject, invalidArgument } from '../validate.js'
import type { Program, ProgramInput, ProgramLimits } from './program.js'

const entryName = /^[\p{ID_Start}_][\p{ID_Continue}]*(\.[\p{ID_Start}_][\p{ID_Continue}]*)?$/u
/** An interpreter alone takes tens of MB of address space. */
const leastMemoryBytes = 128 * 2 ** 20
const maxSeconds = 24 * 3600

/** @throws ERR_INVALID_ARGUMENT */
export function checkRun(program: Program, inputs: readonly ProgramInput[], limits: ProgramLimits): void {
  checkObject(program, 'program')
  checkObject(limits, 'limits')
  const { code, prelude, entry } = program
  if (typeof code !== 'string') throw invalidArgument('a string', 'program.code', code)
  if (prelude !== undefined && typeof prelude !== 'string') {
    throw invalidArgument('a string', 'program.prelude', prelude)
  }
  if (entry !== undefined && (typeof entry !== 'string' || !entryName.test(entry))) {
    throw invalidArgument('the name of a function or Class.method', 'program.entry', entry)
  }
  for (const [index, input] of inputs.entries()) {
    checkObject(input, `inputs[${index}]`)
    const { stdin, args } = input as { stdin?: unknown; args?: unknown }
    if (entry === undefined && typeof stdin !== 'string') {
      throw invalidArgument('a string', `inputs[${index}].stdin`, stdin)
    }
    if (entry !== undefined && !(Array.isArray(args) && args.every((text) => typeof text === 'string'))) {
      throw invalidArgument('an array of JSON texts', `inputs[${index}].args`, args)
    }
  }
  checkNumber('limits.seconds', limits.seconds, Number.MIN_VALUE, maxSeconds)
  checkNumber('limits.memoryBytes', limits.memoryBytes, leastMemoryBytes, 2 ** 47)
  checkNumber('limits.outputBytes', limits.outputBytes, 1, 2 ** 29)
}

function checkNumber(name: string, value: unknown, least: number, most: number): void {
  if (typeof value !== 'number' || !(value >= least && value <= most)) {
    throw invalidArgument(`a number from ${least} to ${most}`, name, value)
  }
}
