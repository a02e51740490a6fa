import { printable } from '../text/format.js'
import type { SftProgress } from '../train/runTraining.js'
import type { PlanEvent } from '../train/trainerEvents.js'
import { dataProgressReporter } from './dataProgress.js'
import type { ProgressStream } from './progress.js'
import { trainingReporter } from './trainingProgress.js'

/** Progress of data and training. */
export function sftReporter(stream: ProgressStream) {
  let total: number | undefined
  const training = trainingReporter(stream, () => total)
  const data = dataProgressReporter(stream)
  return {
    setTotal(steps: number | undefined) {
      total = steps
    },
    update(progress: SftProgress) {
      if (progress.phase === 'data') data.update(progress.data)
      else if (progress.phase === 'log') training.print(printable(progress.line))
      else if (progress.phase === 'job') training.print(`Job ${progress.job}: ${progress.state.toLowerCase()}`)
      else {
        if (progress.event.event === 'plan') total = (progress.event as PlanEvent).totalSteps ?? total
        training.update(progress.event)
      }
    },
    print: training.print,
    end() {
      training.end()
      data.end()
    },
  }
}
