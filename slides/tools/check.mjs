// Walks the built deck in a browser: nothing overflows, nothing is too small to read, nothing is
// broken, and nobody is asked for anything.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PDFDocument } from 'pdf-lib'
import { OUT, ROOT, open, source } from './deck.mjs'

const SMALLEST_CODE = 16
const SMALLEST = 14

/** Runs in the page: what is wrong with slide `no`, as it is now. */
function inspect([no, smallestCode, smallest]) {
  const wrong = []
  const slide = document.querySelector(`.slidev-page-${no}`)
  const layout = slide?.querySelector('.slidev-layout')
  if (!layout)
    return ['there is no slide']
  const name = (element) => `<${element.tagName.toLowerCase()}> "${element.textContent.trim().replace(/\s+/g, ' ').slice(0, 40)}"`
  const box = layout.getBoundingClientRect()
  const [scale, slack] = [box.width / layout.offsetWidth, 1.5]
  const footer = slide.querySelector('.deck-footer')
  const bottom = footer ? footer.getBoundingClientRect().top : box.bottom

  if (layout.scrollHeight > layout.clientHeight + 1 || layout.scrollWidth > layout.clientWidth + 1)
    wrong.push(`the slide overflows: ${layout.scrollWidth} × ${layout.scrollHeight}`)
  for (const pre of layout.querySelectorAll('pre')) {
    if (pre.scrollWidth > pre.clientWidth + 1 || pre.scrollHeight > pre.clientHeight + 1)
      wrong.push(`code overflows: ${name(pre)}`)
    if (!pre.textContent.trim())
      wrong.push('empty code')
  }
  const texts = document.createTreeWalker(layout, NodeFilter.SHOW_TEXT)
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement
    const style = getComputedStyle(element)
    if (!node.textContent.trim() || style.visibility === 'hidden' || element.closest('style, script'))
      continue
    const range = document.createRange()
    range.selectNodeContents(node)
    for (const rect of range.getClientRects()) {
      if (rect.width === 0 || rect.height === 0)
        continue
      if (rect.left < box.left - slack || rect.right > box.right + slack || rect.top < box.top - slack || rect.bottom > bottom + slack)
        wrong.push(`outside of the slide: ${name(element)}`)
    }
    const svg = element.ownerSVGElement
    const shrunk = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : scale
    const size = Number.parseFloat(style.fontSize) * shrunk
    const least = style.fontFamily.includes('Iosevka') && style.fontFamily.indexOf('Iosevka') < 2 ? smallestCode : smallest
    if (size < least - 0.01)
      wrong.push(`${size.toFixed(1)} px is too small: ${name(element)}`)
    if (!element.closest('pre, code, svg') && /\*\*|<<<|\]\(/.test(node.textContent))
      wrong.push(`Markdown that is none: ${name(element)}`)
    if (svg) {
      const [text, frame] = [element.getBoundingClientRect(), svg.getBoundingClientRect()]
      const rect = element.closest('.sbox')?.querySelector('rect')?.getBoundingClientRect()
      if (text.left < frame.left - slack || text.right > frame.right + slack || text.bottom > frame.bottom + slack)
        wrong.push(`outside of its drawing: ${name(element)}`)
      if (rect && (text.left < rect.left - 1 || text.right > rect.right + 1 || text.bottom > rect.bottom + 1))
        wrong.push(`wider than its box: ${name(element)}`)
    }
  }
  // Two texts of a drawing on each other.
  for (const svg of layout.querySelectorAll('svg.fig')) {
    const all = [...svg.querySelectorAll('text')].filter(text => text.textContent.trim()).map(text => [text, text.getBBox(), text.getAttribute('transform')])
    for (const [i, [a, p, turned]] of all.entries()) {
      for (const [b, q, other] of all.slice(i + 1)) {
        const [x, y] = [Math.min(p.x + p.width, q.x + q.width) - Math.max(p.x, q.x), Math.min(p.y + p.height, q.y + q.height) - Math.max(p.y, q.y)]
        if (!turned && !other && x > 2 && y > 9)
          wrong.push(`on each other: ${name(a)} and ${name(b)}`)
      }
    }
  }
  for (const image of layout.querySelectorAll('img')) {
    if (!image.complete || !image.naturalWidth)
      wrong.push(`a broken picture: ${image.src}`)
  }
  return [...new Set(wrong)]
}

const slides = await source()
const problems = []
const deck = await open()
let [minutes, skippable] = [0, 0]
for (const [index, slide] of slides.entries()) {
  const no = index + 1
  const say = what => problems.push(`${no} ${slide.title ?? ''}: ${what}`)
  const note = slide.note ?? ''
  if (!note.trim())
    say('no speaker notes')
  minutes += slide.frontmatter.minutes ?? 0
  skippable += slide.frontmatter.optional ? slide.frontmatter.minutes : 0
  for (const clicks of [0, 99]) {
    await deck.show(no, clicks)
    const found = await deck.page.evaluate(inspect, [no, SMALLEST_CODE, SMALLEST])
    found.forEach(what => say(clicks ? what : `before the first click: ${what}`))
  }
}
for (const family of ['Iosevka', 'Noto Sans TC Variable']) {
  const loaded = await deck.page.evaluate(name => [...document.fonts].some(font => font.family.includes(name) && font.status === 'loaded'), family)
  if (!loaded)
    problems.push(`the font ${family} was not loaded`)
}
await deck.close()
problems.push(...deck.problems)

const pages = (await PDFDocument.load(await readFile(join(OUT, 'slides.pdf')))).getPageCount()
if (pages !== slides.length)
  problems.push(`the PDF has ${pages} pages for ${slides.length} slides`)

const figures = JSON.parse(await readFile(join(ROOT, 'figures.json'), 'utf8'))
for (const [name, figure] of Object.entries(figures)) {
  if (!figure.source)
    problems.push(`figures.json: ${name} does not say where it is from`)
  if (figure.placeholder)
    console.log(`figures.json: ${name} is a placeholder still, and the slide says so`)
}
for (const problem of new Set(problems)) console.error(problem)
console.log(`${slides.length} slides, ${minutes} minutes, ${skippable} of which may be skipped, ${pages} pages in the PDF, ${new Set(problems).size} problems`)
process.exit(problems.length ? 1 : 0)
