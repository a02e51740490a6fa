import { BranchMergeError } from '../errors.js'
import { printable } from '../text/format.js'
import { version } from '../version.js'
import { Interrupted } from './interrupt.js'
import { printJson, printText } from './print.js'
import { UsageError } from './usageError.js'

/** Exit codes: 0 done, 1 failed, 2 the command line is wrong, 128 + signal when interrupted (130 for Ctrl-C). */
export async function main(args: string[]): Promise<number> {
  const finish = watchOutput()
  let exitCode = 0
  let made: string | undefined
  try {
    // Asked for by scripts again and again: the parser with all that it knows of commands is not needed to tell it.
    if (args.length === 1 && args[0] === '--version') printText(version)
    else {
      const { commandLine } = await import('./parser.js')
      await commandLine(args, async ({ load }, parsed) => {
        exitCode = await (await load(parsed))(parsed)
        if (typeof parsed.out === 'string' && !parsed.plan && exitCode === 0) made = parsed.out
      }).parseAsync()
    }
  } catch (error) {
    exitCode = await reportFailure(error, args)
  }
  const failure = await finish()
  if (failure === undefined) return exitCode
  const what = made === undefined ? 'The output of the command' : `${made} is complete, but the summary`
  const message = `${what} could not be written to stdout: ${failure.message}`
  process.stderr.write(`branchmerge: ${printable(message)} [ERR_OUTPUT_WRITE]\n`)
  return exitCode === 0 ? 1 : exitCode
}

/**
 * Keeps a failure of stdout or stderr from ending the process: both only tell of the work, which goes on. Gives a function that
 * waits until all is written, and says what went wrong with stdout. That the reader of a pipe stops early (`| head`) is no failure.
 */
function watchOutput(): () => Promise<NodeJS.ErrnoException | undefined> {
  let failure: NodeJS.ErrnoException | undefined
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    failure ??= error
  })
  // There is nowhere left to tell it.
  process.stderr.on('error', () => {})
  return async () => {
    // Behind what was written before, and behind its error events.
    if (!process.stdout.destroyed) await new Promise((resolve) => process.stdout.write('', resolve))
    await new Promise(setImmediate)
    return failure?.code === 'EPIPE' ? undefined : failure
  }
}

interface Failure {
  code: string
  message: string
  exitCode: number
}

async function reportFailure(error: unknown, args: readonly string[]): Promise<number> {
  const { code, message, exitCode } = await describe(error, args)
  const lines = message.split('\n').map(printable)
  // The code leads to docs/errors.md.
  const suffix = error instanceof BranchMergeError ? ` [${code}]` : ''
  process.stderr.write(`branchmerge: ${lines.join('\n')}${suffix}\n`)
  if (args.includes('--json')) printJson({ error: { code, message } })
  return exitCode
}

async function describe(error: unknown, args: readonly string[]): Promise<Failure> {
  if (error instanceof Interrupted) return { code: 'ERR_CANCELLED', message: error.message, exitCode: error.exitCode }
  if (error instanceof BranchMergeError) {
    const exitCode = error.code === 'ERR_INVALID_ARGUMENT' ? 2 : 1
    return { code: error.code, message: error.message, exitCode }
  }
  if (error instanceof UsageError) {
    const { helpCommand } = await import('./usageMessage.js')
    const message = `${error.message}\nSee ${helpCommand(args)}.`
    return { code: 'ERR_INVALID_ARGUMENT', message, exitCode: 2 }
  }
  // A fault of ours: the stack is what a bug report needs.
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { code: 'ERR_INTERNAL', message, exitCode: 1 }
}
