import { parentPort } from 'node:worker_threads'

/**
 * Answers the pieces that a thread of a {@link WorkerPool} is sent, one after the other.
 *
 * @param moved - buffers of an answer that are handed over instead of copied
 */
export function answerInThread<Input, Output>(
  work: (input: Input) => Output,
  moved: (output: Output) => ArrayBuffer[] = () => [],
): void {
  parentPort?.on('message', (input: Input) => {
    const output = work(input)
    parentPort?.postMessage(output, moved(output))
  })
}
