// Walks one cut of the built deck in a browser: CUT=talk node tools/check.mjs. Nothing overflows,
// nothing is too small or too faint to read, nothing is broken, and nobody is asked for anything.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PDFDocument } from 'pdf-lib'
import { wanted } from './cut.mjs'
import { ALL, ROOT, open, source } from './deck.mjs'
import { identities } from './identities.mjs'
import { qr } from './qr.mjs'
import { talk } from './talk.mjs'

const CUT = wanted()
/** The smallest sizes, in pixels of a slide that is 980 wide. */
const SIZES = {
  course: { code: { pre: 16, other: 16 }, other: 14 },
  talk: { code: { pre: 22, other: 16 }, other: 14 },
}[CUT]
const CONTRAST = 4.5

const slides = await source()
const figures = JSON.parse(await readFile(join(ROOT, 'figures.json'), 'utf8'))
const [problems, onScreen] = [[], []]
const deck = await open()
for (const [index, slide] of slides.entries()) {
  const no = index + 1
  const say = what => problems.push(`${no} ${slide.title ?? ''}: ${what}`)
  if (!slide.note?.trim())
    say('no speaker notes')
  const look = async (click) => {
    const shown = await deck.show(no, click)
    const found = await shown.evaluate((at, [sizes, contrast]) => [...rules.layout(at, sizes), ...rules.contrast(at, contrast)], [SIZES, CONTRAST])
    return { shown, found, ...await shown.evaluate(at => rules.clicks(at)) }
  }
  const seen = new Set()
  for (let click = 0, last = 1; click < last; click++) {
    const { found, clicks } = await look(click)
    last = CUT === 'talk' ? clicks : 1 // the course: the first state and the last
    found.filter(what => !seen.has(what)).forEach(what => seen.add(what) && say(`at click ${click}: ${what}`))
  }
  const { shown, found, clicks, steps } = await look(99)
  found.filter(what => !seen.has(what)).forEach(say)
  onScreen.push(new Set([...seen, ...found]))
  if (CUT === 'talk')
    talk(slide, { clicks, steps, ...await shown.evaluate(at => rules.contents(at)) }).forEach(say)
  identities(await shown.evaluate(at => rules.text(at)), figures.identities).forEach(say)
  if (slide.content.includes('<Repository'))
    (await qr(shown)).forEach(say)
}

// As in the PDF.
await deck.print(slides.length)
const printed = await deck.page.locator('.print-slide-container').all()
for (const [index, page] of printed.entries()) {
  for (const what of await page.evaluate((at, least) => rules.contrast(at, least), CONTRAST))
    onScreen[index].has(what) || problems.push(`${index + 1} ${slides[index].title ?? ''}: in the PDF: ${what}`)
}
for (const family of ['Iosevka', 'Noto Sans TC Variable']) {
  const loaded = await deck.page.evaluate(name => [...document.fonts].some(font => font.family.includes(name) && font.status === 'loaded'), family)
  if (!loaded)
    problems.push(`the font ${family} was not loaded`)
}
await deck.close()
problems.push(...deck.problems)

const pages = (await PDFDocument.load(await readFile(join(ALL, `${CUT}.pdf`)))).getPageCount()
if (pages !== slides.length)
  problems.push(`the PDF has ${pages} pages for ${slides.length} slides`)

for (const problem of new Set(problems)) console.error(`${CUT}: ${problem}`)
console.log(`${CUT}: ${slides.length} slides, ${pages} pages in the PDF, ${new Set(problems).size} problems`)
process.exit(problems.length ? 1 : 0)
