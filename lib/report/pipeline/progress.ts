import type { StepProgress } from '../../pipeline/kinds/stepKind.js'
import type { PipelineProgress } from '../../pipeline/run/pipelineOutcome.js'
import { formatPercent, printable } from '../../text/format.js'
import { formatBytes, formatDuration, formatRate } from '../../text/formatUnits.js'
import { progressAfterDownload } from '../downloadProgress.js'
import { evaluationReporter } from '../evaluation/progress.js'
import { progressReporter } from '../progress.js'
import { type ProgressStream, progressLine } from '../progressLine.js'
import { selectionReporter } from '../selection/progress.js'
import { sftReporter } from '../sftProgress.js'
import { teachingReporter } from '../teaching/progress.js'
import { reasonText } from './text.js'

interface StepReporter {
  update(progress: StepProgress): void
  end(): void
}

/** Shows which step runs and why, and of each what its command shows. */
export function pipelineReporter(stream: ProgressStream): { update(progress: PipelineProgress): void; end(): void } {
  let [work, hashing] = [stepReporter(stream), hashReporter(stream)]
  const end = () => {
    work.end()
    hashing.end()
    ;[work, hashing] = [stepReporter(stream), hashReporter(stream)]
  }
  const print = (text: string) => stream.write(`${printable(text)}\n`)
  return {
    update(progress) {
      if (progress.phase === 'work') work.update(progress.work)
      else if (progress.phase === 'hash') hashing.update(progress)
      else if (progress.phase === 'begin') {
        end()
        const { step, kind, reasons, number, of } = progress
        print(`[${number}/${of}] ${step} (${kind}): ${reasonText(reasons)}`)
      } else {
        end()
        const { status, seconds, error, reasons } = progress.outcome
        const took = seconds === null ? '' : ` after ${formatDuration(seconds)}`
        if (status === 'done') print(`${progress.step}: done${took}`)
        else if (status === 'failed')
          print(`${progress.step}: failed${took}: ${error?.message.split('\n', 1)[0]} [${error?.code}]`)
        else if (status === 'blocked') print(`${progress.step}: cannot run: ${reasonText(reasons)}`)
      }
    },
    end,
  }
}

/** What the command of each kind shows; made when its first word comes, as clocks start then. */
function stepReporter(stream: ProgressStream): StepReporter {
  const ends: (() => void)[] = []
  const kept = <R extends { end(): void }>(make: () => R): (() => R) => {
    let made: R | undefined
    return () => {
      if (!made) {
        made = make()
        ends.push(made.end)
      }
      return made
    }
  }
  const select = kept(() => selectionReporter(stream))
  const teach = kept(() => teachingReporter(stream))
  const sft = kept(() => sftReporter(stream))
  const merge = kept(() => progressAfterDownload(stream, progressReporter))
  const evaluate = kept(() => evaluationReporter(stream))
  return {
    update(work) {
      if (work.of === 'select') select().update(work.progress)
      else if (work.of === 'teach') teach().update(work.progress)
      else if (work.of === 'sft') sft().update(work.progress)
      else if (work.of === 'merge') merge().update(work.progress)
      else if (work.of === 'download') merge().download(work.progress)
      else evaluate().update(work.progress)
    },
    end() {
      for (const each of ends) each()
    },
  }
}

type Hashing = Extract<PipelineProgress, { phase: 'hash' }>

function hashReporter(stream: ProgressStream): { update(progress: Hashing): void; end(): void } {
  const clock = () => performance.now() / 1000
  const started = clock()
  return progressLine<Hashing>(
    stream,
    ({ step, bytesDone, bytesTotal }, now) => {
      const fraction = bytesTotal > 0 ? bytesDone / bytesTotal : 1
      const seconds = now - started
      const left = bytesDone > 0 ? formatDuration((seconds * (bytesTotal - bytesDone)) / bytesDone) : '?'
      const size = `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`
      const text = `Reading inputs of ${step}  ${formatPercent(fraction)}  ${size}  ${formatRate(bytesDone, seconds)}  ${left} left`
      return { fraction, text }
    },
    clock,
  )
}
