/** Arguments of an instruction are missing or of another kind. */
export class InstructionProblem extends Error {}

/** A pattern of an instruction takes too long on an answer. */
export class PatternTooSlow extends Error {}

/** Whether a response, which is not blank, follows an instruction. */
export type Check = (response: string) => boolean

/** Reads an instruction's arguments, and gives its check. */
export type ReadInstruction = (values: Arguments) => Check

/** The arguments of one instruction. */
export class Arguments {
  constructor(private readonly values: ReadonlyMap<string, unknown>) {}

  count(name: string): number {
    const value = this.values.get(name)
    const number = typeof value === 'bigint' || typeof value === 'number' ? Number(value) : Number.NaN
    // JSON writers that know floats alone write 3.0, which the reader of JSON keeps as an object with that value.
    const count = value !== null && typeof value === 'object' ? Number(value) : number
    if (Number.isSafeInteger(count) && count >= 0) return count
    throw new InstructionProblem(`expected a number for ${name}`)
  }

  text(name: string): string {
    const value = this.values.get(name)
    if (typeof value === 'string' && value.trim() !== '') return value
    throw new InstructionProblem(`expected a text for ${name}`)
  }

  texts(name: string): string[] {
    const value = this.values.get(name)
    const isTexts = Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')
    if (isTexts) return value
    throw new InstructionProblem(`expected a list of texts for ${name}`)
  }

  /** Compares a number that was counted with one that is asked. */
  relation(relationName: string, countName: string): (counted: number) => boolean {
    const [relation, asked] = [this.values.get(relationName), this.count(countName)]
    if (relation === 'less than') return (counted) => counted < asked
    if (relation === 'at least') return (counted) => counted >= asked
    throw new InstructionProblem(`expected "less than" or "at least" for ${relationName}`)
  }
}
