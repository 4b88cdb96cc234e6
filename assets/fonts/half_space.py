"""Make Vazirmatn keep its half-spaces in a PDF:  python assets/fonts/half_space.py Vazirmatn-Regular.ttf …

A shaper drops U+200C once the letters have their forms, and its character goes to the *next* glyph, after which PDF
readers find «مدله‌ا» for «مدل‌ها». A glyph that the font itself puts in its place (feature ``ccmp``) stays: of no width
and no ink, so that the page looks the same, and the word can be found and copied.
"""

from __future__ import annotations

import sys

from fontTools.otlLib.builder import buildLookup, buildSingleSubstSubtable
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables import otTables
from fontTools.ttLib.tables._g_l_y_f import Glyph

KEPT = "halfspace.kept"


def keep_half_space(path: str) -> None:
    """Rewrite the font at ``path``; one that has the glyph already is left as it is."""
    font = TTFont(path, recalcTimestamp=False)
    if KEPT in font.getGlyphOrder():
        return
    font["glyf"][KEPT] = Glyph()
    font["hmtx"][KEPT] = (0, 0)
    table = font["GSUB"].table
    table.LookupList.Lookup.append(buildLookup([buildSingleSubstSubtable({font.getBestCmap()[0x200C]: KEPT})]))
    record = otTables.FeatureRecord()
    record.FeatureTag, record.Feature = "ccmp", otTables.Feature()
    record.Feature.FeatureParams, record.Feature.LookupListIndex = None, [len(table.LookupList.Lookup) - 1]
    features = table.FeatureList.FeatureRecord
    for script in (found.Script for found in table.ScriptList.ScriptRecord):
        for system in filter(None, [script.DefaultLangSys, *(each.LangSys for each in script.LangSysRecord)]):
            own = next((features[at].Feature for at in system.FeatureIndex if features[at].FeatureTag == "ccmp"), None)
            if own is None:
                if record not in features:
                    features.append(record)
                system.FeatureIndex.append(features.index(record))
            elif own is not record.Feature and record.Feature.LookupListIndex[0] not in own.LookupListIndex:
                own.LookupListIndex += record.Feature.LookupListIndex
    font.save(path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        keep_half_space(name)
