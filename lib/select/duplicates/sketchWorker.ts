import { workerData } from 'node:worker_threads'
import { answerInThread } from '../../threads/answerInThread.js'
import { bandingFor, Sketcher } from './sketch.js'
import { textKey } from './textKey.js'

/** What the thread is made with. */
export interface SketchWorkerData {
  threshold: number
  words: number
}

const { threshold, words } = workerData as SketchWorkerData
const sketcher = new Sketcher(words, bandingFor(threshold))

answerInThread(
  (texts: string[]) => texts.map((text) => textKey(text, sketcher)),
  (keys) => keys.flatMap(({ sketch }) => (sketch ? [sketch.keys.buffer, sketch.shingles.buffer] : []) as ArrayBuffer[]),
)
