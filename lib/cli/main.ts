import { BranchMergeError } from '../errors.js'
import { printable } from '../report/format.js'
import { Interrupted } from './interrupt.js'
import { commandLine } from './parser.js'
import { printJson } from './print.js'
import { UsageError } from './usageError.js'
import { helpCommand } from './usageMessage.js'

/** Exit codes: 0 done, 1 failed, 2 the command line is wrong, 128 + signal when interrupted (130 for Ctrl-C). */
export async function main(args: string[]): Promise<number> {
  process.stdout.on('error', leaveQuietly)
  let exitCode = 0
  try {
    await commandLine(args, async ({ load }, parsed) => {
      exitCode = await (await load(parsed))(parsed)
    }).parseAsync()
    return exitCode
  } catch (error) {
    return reportFailure(error, args)
  }
}

/** The reader of a pipe may stop early (`| head`); that is no failure of ours. */
function leaveQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
}

interface Failure {
  code: string
  message: string
  exitCode: number
}

function reportFailure(error: unknown, args: readonly string[]): number {
  const { code, message, exitCode } = describe(error, args)
  const lines = message.split('\n').map(printable)
  // The code leads to docs/errors.md.
  const suffix = error instanceof BranchMergeError ? ` [${code}]` : ''
  process.stderr.write(`branchmerge: ${lines.join('\n')}${suffix}\n`)
  if (args.includes('--json')) printJson({ error: { code, message } })
  return exitCode
}

function describe(error: unknown, args: readonly string[]): Failure {
  if (error instanceof Interrupted) return { code: 'ERR_CANCELLED', message: error.message, exitCode: error.exitCode }
  if (error instanceof BranchMergeError) {
    const exitCode = error.code === 'ERR_INVALID_ARGUMENT' ? 2 : 1
    return { code: error.code, message: error.message, exitCode }
  }
  if (error instanceof UsageError) {
    const message = `${error.message}\nSee ${helpCommand(args)}.`
    return { code: 'ERR_INVALID_ARGUMENT', message, exitCode: 2 }
  }
  // A fault of ours: the stack is what a bug report needs.
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { code: 'ERR_INTERNAL', message, exitCode: 1 }
}
