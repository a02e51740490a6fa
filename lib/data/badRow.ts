/** Why a row of a source cannot be used; the row is counted and reported, the run goes on. */
export class BadRow extends Error {
  override readonly name = 'BadRow'
}
