import { dirname } from 'node:path'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import { compareEvaluations } from '../../evaluate/compare.js'
import { readTranscripts } from '../../evaluate/readOutcomes.js'
import { jsonSchema } from '../../options/jsonSchema.js'
import { pathFromFile } from '../../pathFromFile.js'
import { Problems } from '../../recipe/problems.js'
import { compileSchema, schemaProblems } from '../../recipe/schemaProblems.js'
import { writeEvaluationReport } from '../../report/evaluation/writeReport.js'
import { stepKeys } from '../pipelineKeys.js'
import type { PipelineComparison } from '../pipelineOptions.js'
import type { StepKind } from './stepKind.js'

let compiled: ValidateFunction | undefined

/** What `branchmerge compare` does: the figures, and the report of them. */
export const compare: StepKind = {
  takesFile: false,
  place: undefined,
  outputFile: undefined,
  settings: [],
  free: [],
  earlierWork: 'none',
  open(document, output) {
    const problems = new Problems(document.file ?? 'The comparison', document.locate)
    compiled ??= compileSchema(jsonSchema(stepKeys.compare))
    schemaProblems(compiled, document.value, problems, { subject: 'compare' })
    problems.throwIfAny()
    const { evaluations, ...options } = document.value as PipelineComparison
    const directory = document.file === undefined ? '.' : dirname(document.file)
    const directories = evaluations.map((each) => pathFromFile(each, directory))
    return {
      inputs: directories.map((path) => ({ path, kind: 'files' })),
      async run({ signal }) {
        const comparison = await compareEvaluations(directories, { ...options, signal })
        const files = await writeEvaluationReport(comparison.results, readTranscripts(comparison, signal), output, {
          signal,
        })
        return { ...comparison.results, files }
      },
    }
  },
}
