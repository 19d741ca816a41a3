"""Makes dev/streets.geojson of fixtures/roads/helsinki_center.osm.pbf (needs PyPI osmium): python dev/make-streets.py

Streets that vehicles use, parks and water; five decimals. The real file is made by the hub from the same extract.
"""

import json
import pathlib

import osmium

HERE = pathlib.Path(__file__).parent
CLASSES = {
    "motorway": "motorway", "trunk": "trunk", "primary": "primary", "secondary": "secondary", "tertiary": "tertiary",
    "residential": "residential", "unclassified": "residential", "living_street": "residential", "service": "service",
    "pedestrian": "footway",
}


def area(tags):
    if tags.get("natural") == "water":
        return "water"
    if tags.get("leisure") == "park":
        return "park"
    return None


class Streets(osmium.SimpleHandler):
    def __init__(self):
        super().__init__()
        self.features = []

    def way(self, way):
        road = CLASSES.get((way.tags.get("highway") or "").removesuffix("_link"))
        kind = area(way.tags)
        if road is None and kind is None:
            return
        try:
            line = [[round(node.lon, 5), round(node.lat, 5)] for node in way.nodes]
        except osmium.InvalidLocationError:
            return
        properties = {"class": road or kind}
        if "name" in way.tags:
            properties["name"] = way.tags["name"]
        if way.tags.get("oneway") == "yes":
            properties["oneway"] = True
        if road:
            geometry = {"type": "LineString", "coordinates": line}
        elif line[0] == line[-1]:
            geometry = {"type": "Polygon", "coordinates": [line]}
        else:
            return
        self.features.append({"type": "Feature", "properties": properties, "geometry": geometry})


streets = Streets()
streets.apply_file(str(HERE / "../../../fixtures/roads/helsinki_center.osm.pbf"), locations=True)
streets.features.sort(key=lambda feature: json.dumps(feature))
with open(HERE / "streets.geojson", "w") as out:
    out.write('{"type":"FeatureCollection","features":[\n')
    out.write(",\n".join(json.dumps(feature, separators=(",", ":"), ensure_ascii=False) for feature in streets.features))
    out.write("\n]}\n")
