import { workerData } from 'node:worker_threads'
import type { TokenizerFiles } from '../../checkpoint/tokenizerFiles.js'
import { answerInThread } from '../../threads/answerInThread.js'
import { type Judged, QualityJudge } from './judge.js'
import type { QualityOptions } from './qualityOptions.js'

/** What the thread is made with. */
export interface QualityWorkerData {
  options: QualityOptions
  tokenizer: TokenizerFiles | undefined
}

const { options, tokenizer } = workerData as QualityWorkerData
const judge = new QualityJudge(options, tokenizer)

answerInThread((rows: Judged[]) => rows.map((row) => judge.judge(row)))
