import { push } from '../push/push.js'
import { pushReporter } from '../report/pushProgress.js'
import { formatCountOf, printable } from '../text/format.js'
import { formatBytes, formatDuration } from '../text/formatUnits.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge push DIR org/name` */
export async function runPush(args: Record<string, unknown>): Promise<number> {
  const directory = checkPath(args.directory, 'directory')
  const progress = pushReporter(process.stderr)
  const summary = await withInterrupt('sent', (signal) =>
    push(directory, args.repository as string, {
      private: args.private as boolean | undefined,
      revision: args.revision as string | undefined,
      signal,
      onProgress: progress.update,
    }),
  ).finally(progress.end)
  if (args.json) {
    printJson(summary)
    return 0
  }
  const { files, bytes, bytesSent, removed, left, notes, alreadyDone, created, commit, seconds } = summary
  const whole = `${formatCountOf(files, 'file')}, ${formatBytes(bytes)}`
  const list = (names: string[]) => names.map(printable).join(', ')
  printText(
    [
      alreadyDone
        ? `The repository has all of it already: ${whole}`
        : `Sent ${whole}, of which ${formatBytes(bytesSent)} over the network, in ${formatDuration(seconds)}`,
      ...(created ? [`Made the repository ${printable(summary.repository)}`] : []),
      ...(removed.length > 0 ? [`Removed there, as of another checkpoint: ${list(removed)}`] : []),
      ...(left.length > 0 ? [`Not sent: ${list(left)}`] : []),
      ...notes,
      `The commit is ${commit} at ${summary.url}`,
    ].join('\n'),
  )
  return 0
}
