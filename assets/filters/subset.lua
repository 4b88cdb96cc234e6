-- The subset of Quarto that the report uses, for the route without Quarto (never run by Quarto itself).
--
-- Builds from plain Pandoc what Quarto's own filters build: numbered sections, figures, tables, listings and equations,
-- references to them, callouts, folded code, conditional content. The output follows Quarto's (class names in HTML;
-- figure kinds and the functions `callout` and `article` in Typst), so that one CSS file and one Typst look serve both.
-- Whatever lies outside the subset is an error that names it; `render.py` adds the line.

local stringify = pandoc.utils.stringify
local typst = FORMAT:match("typst") ~= nil
local format = typst and "typst" or "html"

local LABELS = {} -- Quarto's language file, from the metadata
local KINDS = { fig = "bottom", tbl = "top", lst = "top" } -- floats, and where their captions go
local REFERABLE = { fig = true, tbl = true, lst = true, eq = true, sec = true }
local COLOURS = { note = "0758E5", tip = "00A047", important = "CC1914", warning = "EB9113", caution = "FC5300" }
local CLASSES = { -- every class that a Div or a Span of the source may have
  ["content-visible"] = true, ["content-hidden"] = true, cell = true, ["cell-output"] = true, ["cell-output-stdout"] = true,
  ["cell-output-stderr"] = true, ["cell-output-display"] = true, ["cell-output-error"] = true, unnumbered = true,
  unlisted = true, underline = true, smallcaps = true, mark = true, failed = true, unchecked = true,
  claim = true, unclaimed = true, unknown = true, ["claims-count"] = true, ["page-of"] = true, collaborators = true, ["ai-statement"] = true,
  beside = true, beyond = true, notice = true, ["notice-title"] = true,
  note = true, tip = true, important = true, warning = true, caution = true,
}

local count, section, numbers, shift, numbered = { fig = 0, tbl = 0, lst = 0, eq = 0 }, {}, {}, 0, false

local function fail(message, token) error(message .. (token and " ⟨" .. token .. "⟩" or ""), 0) end -- token: what to look for in the source
local function kind_of(id) return id:match("^(%a+)%-") end
local function raw(text) return pandoc.RawInline(format, text) end
local function rawb(text) return pandoc.RawBlock(format, text) end
local function quoted(text) return '"' .. text:gsub("\\", "\\\\"):gsub('"', '\\"'):gsub("%s+", " ") .. '"' end
local function label(name) return LABELS[name] or fail("assets/fa.yml has no label " .. name) end

local function register(kind, id)
  if numbers[id] then fail("the label #" .. id .. " is used twice", "#" .. id) end
  count[kind] = count[kind] + 1
  numbers[id] = tostring(count[kind])
  return numbers[id]
end

local function read_meta(meta)
  for name, value in pairs(meta.labels or {}) do LABELS[name] = stringify(value) end
  shift, numbered = tonumber(stringify(meta["shift-headings"] or "0")), meta["number-sections"] == true
  meta.labels, meta["shift-headings"] = nil, nil
  return meta
end

-- sections ----------------------------------------------------------------------------------------------------------

local function header(head)
  local level = head.level - shift
  if typst then head.level = level end
  if not head.classes:includes("unnumbered") and numbered then
    section[level] = (section[level] or 0) + 1
    for deeper = level + 1, 6 do section[deeper] = nil end
    local parts = {}
    for depth = 1, level do parts[depth] = tostring(section[depth] or 0) end
    local number = table.concat(parts, ".")
    if kind_of(head.identifier) == "sec" then numbers[head.identifier] = number end
    if not typst then
      head.content:insert(1, pandoc.Span({ pandoc.Str(number) }, pandoc.Attr("", { "header-section-number" })))
      head.content:insert(2, pandoc.Space())
    end
  end
  return head
end

-- figures, tables, listings -----------------------------------------------------------------------------------------

local function float(kind, id, content, caption)
  local number, position = register(kind, id), KINDS[kind]
  if typst then
    local out = pandoc.Blocks { rawb("#figure([") }
    out:extend(content)
    out:extend {
      pandoc.Plain(pandoc.Inlines { raw("], caption: figure.caption(position: " .. position .. ", [") } .. caption .. pandoc.Inlines {
        raw('])' .. ', kind: "quarto-float-' .. kind .. '", supplement: ' .. quoted(label("crossref-" .. kind .. "-title")) .. ") <" .. id .. ">") }),
    }
    return out
  end
  local prefix = pandoc.Inlines { pandoc.Str(label("crossref-" .. kind .. "-title") .. "\u{a0}" .. number .. ":"), pandoc.Space() }
  local figcaption = pandoc.Blocks {
    rawb('<figcaption id="' .. id .. '-caption" class="quarto-float-caption quarto-float-' .. kind .. '">'),
    pandoc.Plain(prefix .. caption), rawb("</figcaption>") }
  local body = pandoc.Blocks { pandoc.Div(content, pandoc.Attr("", {}, { ["aria-describedby"] = id .. "-caption" })) }
  local out = pandoc.Blocks { rawb('<figure class="quarto-float quarto-float-' .. kind .. ' figure">') }
  out:extend(position == "top" and figcaption .. body or body .. figcaption)
  out:insert(rawb("</figure>"))
  return pandoc.Div(out, pandoc.Attr(id, { "quarto-figure" }))
end

local function flat_table(tbl) -- Pandoc would wrap a table into a second, unbreakable figure
  tbl.classes:insert("typst:no-figure")
  return tbl
end

local function caption_inlines(caption) return pandoc.utils.blocks_to_inlines(caption.long) end

local function figure(fig)
  if kind_of(fig.identifier) == "fig" then return float("fig", fig.identifier, fig.content, caption_inlines(fig.caption)) end
  if #fig.caption.long > 0 then fail("a figure with a caption needs a label {#fig-…}: " .. stringify(fig.caption.long), stringify(fig.caption.long):match("%S+")) end
end

local function captioned_table(tbl)
  local id, caption = tbl.identifier, caption_inlines(tbl.caption)
  if id == "" and #caption == 0 then return flat_table(tbl) end
  if kind_of(id) ~= "tbl" then fail("a table with a caption needs a label {#tbl-…} after it: " .. stringify(caption), stringify(caption):match("^.-%s%S+")) end
  tbl.identifier, tbl.caption = "", pandoc.Caption()
  return float("tbl", id, { flat_table(tbl) }, caption)
end

local function listing(block)
  local id = block.identifier
  if id == "" then return nil end
  if kind_of(id) ~= "lst" or not block.attributes["lst-cap"] then fail("a code block with the label #" .. id .. " needs lst- and lst-cap", "#" .. id) end
  local caption = pandoc.read(block.attributes["lst-cap"], "markdown").blocks[1].content
  block.identifier, block.attributes["lst-cap"] = "", nil
  return float("lst", id, { block }, caption)
end

local function float_div(div)
  local kind = kind_of(div.identifier)
  if not KINDS[kind] then return nil end
  local content, last = div.content, div.content[#div.content]
  if not last or last.t ~= "Para" then fail("#" .. div.identifier .. " needs a caption as its last paragraph", div.identifier) end
  content:remove(#content)
  if #content == 0 then fail("#" .. div.identifier .. " has nothing to show", div.identifier) end
  content = content:map(function(block)
    if block.t == "Table" then return flat_table(block) end
    if block.t == "Figure" and block.identifier == "" then return pandoc.Plain(pandoc.utils.blocks_to_inlines(block.content)) end
    return block
  end)
  return float(kind, div.identifier, content, last.content)
end

-- equations ---------------------------------------------------------------------------------------------------------

local function equation(math, id)
  local number = register("eq", id)
  if typst then
    return pandoc.Inlines { raw("#math.equation(block: true, numbering: equation-numbering, alt: " .. quoted(math.text) .. ", [ "), math, raw(" ])<" .. id .. ">") }
  end
  math.text = math.text:gsub("%s+$", "") .. " \\qquad(" .. number .. ")" -- as Quarto does; persian.lua sets it beside the formula
  return pandoc.Inlines { pandoc.Span({ math }, pandoc.Attr(id)) }
end

local function equations(block)
  local out, math, found = pandoc.Inlines {}, nil, false
  for _, inline in ipairs(block.content) do
    local id = inline.t == "Str" and inline.text:match("^{#(.-)}$")
    if id and math then
      if kind_of(id) ~= "eq" then fail("an equation's label must begin with eq-, not #" .. id, "#" .. id) end
      while out[#out] ~= math do out:remove(#out) end
      out:remove(#out)
      out:extend(equation(math, id))
      math, found = nil, true
    else
      if inline.t == "Math" and inline.mathtype == "DisplayMath" then math = inline
      elseif inline.t ~= "Space" and inline.t ~= "SoftBreak" then math = nil end
      out:insert(inline)
    end
  end
  if found then block.content = out; return block end
end

-- divs --------------------------------------------------------------------------------------------------------------

local function callout(div, kind) -- of Typst; those of HTML are made by callouts.lua, before
  for name in pairs(div.attributes) do
    if name ~= "title" and name ~= "collapse" then fail("the callout option " .. name .. " is outside the subset", name .. "=") end
  end
  if div.identifier ~= "" then fail("a callout cannot have a label: #" .. div.identifier, "#" .. div.identifier) end
  local title = div.attributes.title and pandoc.read(div.attributes.title, "markdown").blocks[1].content
  if div.content[1] and div.content[1].t == "Header" then title = div.content:remove(1).content end
  title = title or pandoc.Inlines { label("callout-" .. kind .. "-title") }
  local out = pandoc.Blocks { rawb("#callout(body: [") }
  out:extend(div.content)
  out:insert(pandoc.Plain(pandoc.Inlines { raw("], title: [") } .. title .. pandoc.Inlines { raw(']' ..
    ', icon_color: rgb("#' .. COLOURS[kind] .. '"), icon: none)') }))
  return out
end

local function conditional(div)
  local wanted = div.attributes["when-format"]
  for name in pairs(div.attributes) do
    if name ~= "when-format" then fail("the condition " .. name .. " is outside the subset (when-format is in it)", name .. "=") end
  end
  if wanted ~= "html" and wanted ~= "typst" and wanted ~= "pdf" then fail("when-format must be html, typst or pdf, not " .. tostring(wanted), wanted) end
  local here = wanted == format
  if div.classes:includes("content-hidden") then here = not here end
  return here and div.content or pandoc.Blocks {}
end

local function check_classes(element)
  for _, class in ipairs(element.classes) do
    if not CLASSES[class] then fail("the class ." .. class .. " is outside the subset", class) end
  end
  for name in pairs(element.attributes) do
    local page = name == "to" and element.classes[1] == "page-of"
    if not page and name ~= "dir" and name ~= "lang" and name ~= "role" then fail("the attribute " .. name .. " is outside the subset", name .. "=") end
  end
end

local function div(element)
  if element.identifier == "refs" then return element end
  if element.classes:includes("content-visible") or element.classes:includes("content-hidden") then return conditional(element) end
  for _, class in ipairs(element.classes) do
    local name = class:match("^callout%-(%a+)$")
    if name and COLOURS[name] then return callout(element, name) end
  end
  check_classes(element)
end

-- leaves ------------------------------------------------------------------------------------------------------------

local function folded(block)
  local summary = block.attributes["code-summary"]
  local fold = block.attributes["code-fold"]
  block.attributes["code-summary"], block.attributes["code-fold"] = nil, nil
  if not fold or typst then return block end
  return { rawb('<details class="code-fold"' .. (fold == "show" and " open" or "") .. "><summary>"),
    pandoc.Plain { pandoc.Str(summary or label("code-summary")) }, rawb("</summary>"), block, rawb("</details>") }
end

local function image(img)
  if img.src:match("^%a+://") then fail("the image " .. img.src .. " is not a local file", img.src) end
  local file = io.open(img.src, "rb")
  if not file then fail("the image " .. img.src .. " is missing", img.src) end
  file:close()
  for name in pairs(img.attributes) do
    if name ~= "width" and name ~= "fig-alt" and name ~= "height" then fail("the image option " .. name .. " is outside the subset", name .. "=") end
  end
  local alt = img.attributes["fig-alt"] or stringify(img.caption)
  if typst then -- Pandoc's writer drops the alternative text
    local width = img.attributes.width and ", width: " .. img.attributes.width:gsub("px$", "pt") or ""
    local path = pandoc.path.is_absolute(img.src) and img.src or pandoc.path.join { pandoc.system.get_working_directory(), img.src }
    return raw("#box(image(" .. quoted(path) .. width .. ", alt: " .. quoted(alt) .. "))")
  end
  img.attributes["fig-alt"] = nil
  img.caption = { pandoc.Str(alt) }
  img.classes:insert("img-fluid")
  return img
end

local function reference(cite)
  local out = pandoc.Inlines {}
  for index, citation in ipairs(cite.citations) do
    local kind = kind_of(citation.id)
    if not REFERABLE[kind] then
      if #out > 0 then fail("a citation cannot be mixed with cross-references: @" .. citation.id, "@" .. citation.id) end
      return nil
    end
    local number = numbers[citation.id] or fail("unresolved cross-reference @" .. citation.id, "@" .. citation.id)
    if index > 1 then out:extend { pandoc.Str("،"), pandoc.Space() } end
    local prefix = citation.mode ~= "SuppressAuthor" and label("crossref-" .. kind .. "-prefix") or ""
    if typst then
      out:insert(raw("#ref(<" .. citation.id .. ">, supplement: [" .. prefix .. "])"))
    else
      local text = pandoc.Inlines { pandoc.Str(number) }
      if prefix ~= "" then text = pandoc.Inlines { pandoc.Str(prefix .. "\u{a0}"), pandoc.Str(number) } end
      out:insert(pandoc.Link(text, "#" .. citation.id, "", pandoc.Attr("", { "quarto-xref" })))
    end
  end
  return out
end

function Pandoc(doc)
  doc.meta = read_meta(doc.meta)
  doc = doc:walk { Span = check_classes, Div = div } -- callouts and conditions first: they own the headings inside them
  doc = doc:walk { Header = header, Div = float_div, Figure = figure, Table = captioned_table, CodeBlock = listing,
    Para = equations, Plain = equations } -- one pass, in the order of the document: it counts
  return doc:walk { Cite = reference, Image = image, CodeBlock = folded }
end
