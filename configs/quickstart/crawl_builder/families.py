"""Which pages are generated? Eight families of reports, diaries, recipes and tales, each from its own grammar."""

from .grammar import Grammar
from .pages import Page
from .seeded import Chooser

POOLS = {
    "village": "Ashby|Barrow End|Cobble Hill|Dunford|Elm Bridge|Fenwick|Greenholm|Hartley|Inglebrook|Kettle Green|Larkfield|Millbank|Netherby|Oakham Cross|Pebble Bay|Quarry Top|Rushford|Stonely|Thornby|Underhill|Willow Weir".split("|"),
    "girl": "Alma|Bella|Cora|Dora|Ella|Flora|Hanna|Ivy|Julia|Kitty|Lena|Mina|Nora|Olive|Polly|Rosa|Sofie|Tilda".split("|"),
    "boy": "Anton|Ben|Carl|David|Emil|Frank|George|Henry|Ivo|Jack|Leo|Max|Nils|Otto|Peter|Robin|Sam|Tom".split("|"),
    "person": "the baker|the smith|the miller|the postman|the doctor|the teacher|the ferryman|the shepherd|the carpenter|the gardener|the tailor|the clockmaker|the innkeeper|the fisherman".split("|"),
    "animal": "hedgehog|squirrel|mouse|hare|fox|otter|badger|mole|frog|toad|rabbit|weasel".split("|"),
    "bird": "blackbirds|robins|wrens|sparrows|starlings|swallows|magpies|rooks|finches|thrushes|wagtails|larks|tits|doves|crows".split("|"),
    "waterbird": "ducks|swans|geese|herons|moorhens|coots|gulls|kingfishers|grebes|sandpipers".split("|"),
    "tree": "oak|ash|birch|willow|apple|pear|lime|beech|elder|pine|hazel|cherry".split("|"),
    "flower": "daisies|poppies|roses|violets|marigolds|snowdrops|tulips|bluebells|foxgloves|lilies|sunflowers|cowslips".split("|"),
    "vegetable": "carrots|leeks|onions|potatoes|beans|peas|turnips|cabbages|parsnips|pumpkins|beetroots|tomatoes".split("|"),
    "fruit": "apples|pears|plums|cherries|quinces|blackberries|gooseberries|currants|raspberries".split("|"),
    "herb": "thyme|parsley|sage|mint|dill|chives|bay leaves|rosemary|marjoram".split("|"),
    "place": "the mill|the church|the old bridge|the school|the station|the weir|the inn|the harbour wall|the market hall|the water tower".split("|"),
    "colour": "red|blue|green|yellow|grey|white|brown|black|orange|silver".split("|"),
    "number": "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty".split("|"),
    "small": "two|three|four|five|six|seven".split("|"),
    "hour": "six|seven|eight|nine|ten|eleven|noon|one|two|three|four|five".split("|"),
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday".split("|"),
    "month": "January|February|March|April|May|June|July|August|September|October|November|December".split("|"),
    "direction": "north|south|east|west|north-west|south-west|north-east|south-east".split("|"),
    "thing": "a brass key|a wooden box|a small bell|a tin whistle|a broken cup|a silver spoon|an old map|a ball of wool|a glass marble|a paper boat|a leather shoe|a copper kettle|a lantern|a blue button".split("|"),
    "boat": "Heron|Little Anna|Patience|Grey Goose|Marigold|Kingfisher|Two Brothers|Evening Star|Swallow|Good Intent|Blue Bell|Old Tom".split("|"),
    "cheese": "soft white cheese|hard yellow cheese|smoked cheese|goat cheese|fresh curd".split("|"),
    "craft": "a basket maker|a knife grinder|a potter|a rope maker|a seller of brushes|a bookbinder|a weaver|a candle maker".split("|"),
}

WEATHER = ("http://weather.valley.test/diary/{}", "plain", "Weather diary of {=village}, {=month}", [
    (3, [
        "The {first|second|third|last} week of {=month} began with {a cold clear morning|thick fog in the valley|a warm wind from the {direction}|light rain before dawn|a sky like wet slate}.",
        "At {hour} the thermometer by the school door showed {number} degrees, which is {warmer|colder} than the same day a year ago.",
        "There was {white frost|heavy dew|a thin skin of ice|a film of dust} on the {roofs|meadow|boats|garden gates} when I opened the shutters.",
        "The wind came from the {direction} and {fell asleep|turned twice|grew stronger|brought the smell of the sea} before {noon|evening|breakfast}.",
        "I could see {place} quite clearly, and that is usually a sign of {rain|change|clean air|a dry day}.",
        "{person} looked at the {swallows|smoke|moon|hills} and said that we should {bring in the hay|keep our coats on|not trust the sun|expect a storm}.",
        "The clouds were {high and thin|low and heavy|round like loaves|torn into strips} and moved {slowly|quickly} towards the {direction}.",
    ]),
    (4, [
        "On {day} it rained for {number} hours, and the gauge held {number} millimetres when I emptied it.",
        "The river rose by {a hand|two fingers|the width of a brick|half a metre} and covered the {stepping stones|lower path|reeds|old jetty}.",
        "A shower of hail as large as {peas|beans|small cherries} broke {small} panes in {person}'s cold frame.",
        "The {day} was so still that a leaf from the {tree} fell straight into my cup.",
        "Thunder was heard {once|twice|many times} from behind the hill, but no lightning was seen.",
        "{place} disappeared in the mist until {hour}, and only its {roof|bell|chimney|flag} told us where it was.",
        "The sun came out for {number} minutes and everybody {hung up washing|moved a chair outside|looked surprised|forgave the week}.",
        "A rainbow stood over {place} for so long that the children stopped {pointing at it|running towards it|talking about it}.",
        "In the night of {day} the wind took {two tiles from the church|a branch of the old {tree}|the scarecrow's hat|the lid of the rain barrel}.",
    ]),
    (4, [
        "The {bird} were {quiet|busy|loud|late} this week, and the first {flower} opened beside {place}.",
        "{person} lost {small} rows of {vegetable} to the {frost|slugs|wet ground|wind}.",
        "The children walked to school with {umbrellas|scarves|rubber boots|straw hats} and came home {wet|happy|muddy|with pockets full of ice}.",
        "We had to light the stove in the schoolroom on {day}, which is {early|late|unusual} for {=month}.",
        "The ferry stayed at its rope for {small} hours, since nobody could see the other bank.",
        "Bees flew from the hives near {place} whenever the sun touched the boards.",
        "The well behind the inn stands {number} centimetres {higher|lower} than last month.",
        "A {animal} was seen {crossing the road|drinking from the ditch|asleep in the hay} in the middle of the day.",
        "{girl} from the upper farm measured the snow in the shade and found {small} centimetres of it.",
    ]),
    (3, [
        "Altogether we had {number} dry days and {small} wet ones.",
        "The mean of my readings was {number} degrees, and I have checked the sum twice.",
        "The barometer is {falling|rising|steady} as I write, and the {cat|dog|kettle} agrees with it.",
        "I have cleaned the gauge and put a new page in the book for the coming week.",
        "My neighbour keeps his own diary and has {small} millimetres more, but his gauge stands under a {tree} tree.",
        "If the wind holds, next week will be {mild|fresh|dry|grey}, and the {fruit} will {ripen early|have to wait|need some help}.",
    ]),
])

FERRY = ("http://ferry.harbour.test/timetable/{}", "news", "The {=boat} between {=village} and {=village2}", [
    (3, [
        "From {day} the {=boat} will leave {=village} at {hour} in the morning and reach {=village2} about {number} minutes later.",
        "The small ferry {=boat} carries {number} passengers, {small} bicycles and one cart on each crossing.",
        "{=village} and {=village2} have been joined by a boat for {number} generations, and the summer timetable is now ready.",
        "The new timetable was written by {person} with the help of {girl} and {boy}, who cross the water every school day.",
        "Please read the notes below with care, because the crossing depends on the {tide|wind|height of the river} more than on the clock.",
    ]),
    (4, [
        "On {day} there is an extra crossing at {hour}, so that people can come to the {market|concert|chess evening|choir}.",
        "The last boat waits for the train from {village}, but it does not wait longer than {number} minutes.",
        "When the {direction} wind is strong, the boat lands at {place} and not at the jetty.",
        "Between {hour} and {hour} the ferryman eats his lunch, and the boat eats nothing and stays where it is.",
        "If you miss the boat, ring the bell {twice|three times} and wait on the bench under the {tree} tree.",
        "In fog the {=boat} goes slowly and sounds its horn every {small} minutes.",
        "Early crossings before {hour} must be ordered on the evening before, with a note in the {colour} box.",
        "On the first {day} of each month the engine is cleaned, and a rowing boat takes its place.",
        "The evening boat shows a {colour} lamp at the front and a {colour} lamp at the back.",
    ]),
    (4, [
        "A single crossing costs {number} coins, and a child pays half of that.",
        "Dogs travel free if they sit down, and {goats|geese|sheep} pay the same as children.",
        "Sacks of {vegetable} may stand on the deck, but they must not lean on the {rail|chimney|ferryman}.",
        "A book of {number} tickets can be bought from {person} near {place}.",
        "Whoever is older than eighty and able to prove it by telling a story travels without paying.",
        "Bicycles are tied to the {colour} rail, and nobody should sit on them during the crossing.",
        "Large boxes, such as beehives or {clocks|cupboards|pianos}, need a word with the crew on {day}.",
        "Please have the right money ready, because the ferryman's purse fell into the water in {month}.",
    ]),
    (4, [
        "On the way you pass {place}, a small island with {number} {tree} trees, and a sandbank where {waterbird} rest.",
        "The best seat is on the {left|right} side, from which you can see {place} and the hills behind it.",
        "In {month} the {waterbird} raise their young beside the landing, and we ask you to keep your voice low.",
        "At low water the ribs of an older ferry can be seen near {=village2}.",
        "From the landing at {=village} it is {number} minutes on foot to the station and {small} to the bakery.",
        "Travellers tell us that the tea at {=village2} is worth the crossing, even in rain.",
        "{boy} sells {fruit} at the landing on {day}, and whatever is left over goes to the ferryman's {goat|donkey|pig}.",
        "The crew wishes you a calm crossing and dry feet.",
        "Questions may be put to {person}, who knows the river and likes to be asked.",
    ]),
])

BIRDS = ("http://www.birdcount.example/reports/{}", "blog", "Bird count at {=village} in {=month}", [
    (3, [
        "On the {first|second|third} {day} of {=month} {number} of us met at {place} to count birds, as we do {four|six|eight} times a year.",
        "It was {still dark|already light|raining a little|cold and bright} when we set out, and {girl} carried the big telescope.",
        "We walked in {small} groups, so that no bird would be counted twice.",
        "{boy} wrote down the numbers with a pencil, because ink freezes and paper gets wet.",
        "The route leads from {place} along the river to {place} and back through the {orchard|wood|reeds|water meadow}.",
        "For {number} minutes at each stop nobody was allowed to speak, and even {person} managed it.",
    ]),
    (5, [
        "In the hedges we found {number} {bird} and about as many {bird}, all busy with the {berries|seeds|insects} of the {tree}.",
        "{number} {waterbird} lay on the water near the weir, and another {number} slept on the gravel.",
        "We heard {bird} long before we saw them, and in the end we counted {number}.",
        "A single heron stood below the bridge like a {grey post|forgotten umbrella|thin old man} and did not move for an hour.",
        "The {bird} have become rare here, and we were glad about every one of the {small} that we met.",
        "Over the ploughed field there was a cloud of {bird}, which we guessed to be {number} hundred.",
        "An owl looked down from the {tree} at {place} and closed one eye.",
        "The {waterbird} had young with them, {number} in all, and the last one was always late.",
        "Near the farm of {=village} {bird} and {bird} shared a heap of straw with the hens.",
        "A hawk went through the trees, and for {small} minutes there was nothing to count at all.",
        "{girl} discovered a nest with {small} eggs in the pocket of the scarecrow's coat.",
    ]),
    (4, [
        "Compared with last year there are {more|fewer} {bird} and {more|fewer} {waterbird}, but one year alone proves nothing.",
        "The mild winter has probably helped the {wrens|kingfishers|robins}, which suffer most when the water freezes.",
        "Where the old {tree} trees were cut, we found only {small} {bird} instead of {number}.",
        "The farmer has left a strip of {flower} along his field, and the {finches|larks|sparrows} have noticed it.",
        "We believe that the {waterbird} moved to the lake because the river was {high|muddy|full of boats}.",
        "Our oldest notes are from the time of {person}'s father, who counted {number} {bird} at the same place.",
        "Cats took {small} young {bird} this spring, and a bell on a collar would have saved most of them.",
        "The new nest boxes were used by {bird} in {small} cases and by a {mouse|bumblebee queen|bat} in one.",
    ]),
    (3, [
        "After the count we drank tea from {person}'s huge flask and compared our lists.",
        "The full table hangs on the wall of the {library|town hall|bakery}, and everybody may copy it.",
        "The next count will begin at {hour} on a {day}, and beginners are welcome.",
        "Please bring warm socks, something to write with, and {small} sandwiches for those who forget theirs.",
        "Thanks go to {boy} and {girl}, who carried the ladder and complained only once.",
        "If you see a bird with a {colour} ring on its leg, note the letters and tell us about it.",
    ]),
])

SOUPS = ("http://www.soupkitchen.example/soups/{}", "recipe", "{=vegetable} soup with {=herb} and {=vegetable2}", [
    (3, [
        "This soup of {=vegetable} and {=vegetable2} comes from {village}, where {person} used to cook it on {day}s.",
        "My {aunt|grandfather|neighbour|first teacher} gave me this recipe on the back of a {ticket|letter|shopping list}.",
        "When the evenings of {month} are {wet|long|cold}, nothing is better than a pot of {=vegetable} soup.",
        "It feeds {small} people, or two people who have worked outside all day.",
        "You will need {number} minutes, a large pot, a sharp knife, and somebody to talk to.",
        "Do not be afraid of the amount of {=herb}, because most of its strength boils away.",
    ]),
    (5, [
        "Wash {small} handfuls of {=vegetable} and cut them into pieces as large as {a walnut|a thumbnail|dice}.",
        "Peel {small} {=vegetable2} and slice them so thinly that you could read a newspaper through them.",
        "Melt a spoon of {butter|lard|goose fat} in the pot, or use oil if you prefer, and let it become warm but not brown.",
        "Let the {=vegetable2} cook gently for {number} minutes, and stir them with a wooden spoon.",
        "Add the {=vegetable}, put the lid on, and leave everything alone for {number} minutes.",
        "Pour in {one litre|two litres|a jug} of {water|broth|water in which you have cooked bones} and bring it slowly to the boil.",
        "Tie the {=herb} together with a thread, hang it into the pot, and fix the thread to the handle.",
        "A {bay leaf|crust of old bread|rind of {cheese}|spoon of vinegar} gives the soup a deeper taste.",
        "Season with salt, but not before the end, since the water grows less and the salt does not.",
        "The soup is ready when a piece of {=vegetable} breaks under the spoon.",
    ]),
    (4, [
        "If you like it smooth, press it through a sieve, and if you like it rough, give it only a few strokes with a fork.",
        "A little {cream|milk|sour cream|yoghurt} makes it mild, and a pinch of {pepper|mustard|ginger} makes it awake.",
        "I often add {boiled barley|a beaten egg|small dumplings|a handful of rice} to make a whole meal of it.",
        "Serve it in deep plates with {dark bread|toast rubbed with garlic|{cheese}|a boiled egg}.",
        "Put some chopped {herb} on top at the last moment, because it loses its colour in the heat.",
        "In autumn you can replace the {=vegetable2} by {vegetable}, and nobody will complain.",
        "Some people put in {fruit}, which sounds strange and tastes very good.",
        "Children eat it more gladly when they have been allowed to stir.",
    ]),
    (3, [
        "The soup keeps for {small} days in a cold room and tastes better on the second.",
        "If there is too much, give some to {person}, who always brings the jar back.",
        "When it becomes too thick overnight, add a cup of hot water and stir well.",
        "Once I forgot it on the stove for {number} minutes too long, and it was the best soup of the year.",
        "Write to me if you change something, for I collect mistakes that turned out well.",
        "Save the peel of the {=vegetable} for the {hens|compost|rabbits}, and nothing is lost.",
    ]),
])

GARDEN = ("http://www.gardenletters.example/almanac/{}", "magazine", "What to do in the garden of {=village} in {=month}", [
    (3, [
        "In {=month} the garden {wakes up|asks for patience|gives more than we can eat|grows tired|lies still}, and there is still a lot to do.",
        "Our soil at {=village} is {heavy clay|light sand|stony and warm|black and deep}, so some dates may differ in your garden.",
        "The first job is to look at the {tree} by the gate and to see what the wind has done to it.",
        "Never work on wet ground, and never believe a warm {day} too early.",
        "The old gardeners said that one should sow {vegetable} when the {tree} tree {blooms|drops its leaves|turns green}.",
        "Take a chair outside, sit down for {number} minutes, and make a list before you lift a spade.",
    ]),
    (5, [
        "Sow {vegetable} in rows {number} centimetres apart and cover the seed with fine earth.",
        "The {vegetable} should now be {thinned|watered every evening|covered at night|lifted and stored in sand}.",
        "Plant {flower} between the {vegetable}, since they keep the {flies|beetles|moths} away and look cheerful.",
        "Cut back the {fruit} bushes to {small} strong shoots and burn nothing that a hedgehog could live in.",
        "Give each plant a {can|cup|bucket} of water at the root, and keep the leaves dry.",
        "Collect slugs by lamplight, and carry them to {place}, from which few of them return.",
        "Tie the young {tree} to a stake with a soft {rope|strip of cloth|piece of old stocking}.",
        "Pick the {fruit} on a dry morning, and leave the highest ones for the {bird}.",
        "A row of {herb} along the path smells good when your coat brushes against it.",
        "Move the {flower} to a place with more {sun|shade|room}, and they will forgive you by next year.",
        "Turn the compost, and if it steams in the cold air, you may be proud.",
    ]),
    (4, [
        "{person} asked me why his {vegetable} had {yellow leaves|no roots|long thin stems}, and the answer was {too much water|too little light|a lack of lime|moles}.",
        "A {animal} has moved in behind the shed, and I have decided to plant enough for both of us.",
        "The {bird} took all the seed of the {flower} within {small} days, so I stretched threads over the second bed.",
        "Last year at this time we had {number} degrees of frost, and the water in the can was hard as {iron|stone}.",
        "{girl} grew the largest {pumpkin|turnip|cabbage} of the village, and it took {small} neighbours to carry it.",
        "I tried the trick with {ashes|coffee grounds|egg shells|sheep wool}, and it helped the {vegetable} but not the {vegetable}.",
        "My neighbour {boy} waters with rain from {number} barrels and has not opened the tap since {month}.",
        "Whoever has only a window sill can grow {herb} in a {tin|teapot|wooden box} and be a gardener too.",
    ]),
    (3, [
        "Clean the tools with a handful of {straw|sand}, rub the handles with oil, and hang them where you can find them.",
        "Next month we shall speak about {fruit}, about {vegetable}, and about the art of doing nothing.",
        "Keep a note of what you sowed and where, for in {small} weeks everything green looks alike.",
        "Give away what you cannot eat, and take a cutting of something in return.",
        "And do not forget to stop in the evening and listen to the {bird}.",
    ]),
])

BOATLOG = ("http://canalboats.example/logbooks/{}", "blog", "Log of the {=boat}: from {=village} to {=village2}", [
    (3, [
        "We left {=village} at {hour} with {small} people, one {dog|cat|parrot}, and bread for {small} days.",
        "The {=boat} is {number} metres long, painted {colour} and {colour}, and older than anybody on board.",
        "{girl} steered, {boy} looked after the engine, and I had the map and the teapot.",
        "The canal was {low|full|covered with duckweed|as smooth as oil}, and the first lock opened only after some strong words.",
        "Our plan was to reach {=village2} by {day}, but a canal does not care for plans.",
        "The morning smelled of {coal smoke|wet leaves|new bread|cut grass}, and the {waterbird} moved aside for us without hurry.",
    ]),
    (5, [
        "At the {small} locks of {village} we met the {boat}, whose crew gave us {fruit} in return for {small} eggs.",
        "Below {place} the engine coughed and stopped, and {boy} found a {sack|rope|pair of trousers|bicycle tyre} round the propeller.",
        "We passed under {number} bridges, and at the lowest we lost {the chimney|a flowerpot|somebody's hat|the flag}.",
        "{person} of {village} helped us through the swing bridge and told us about the winter when the ice was {small} hands thick.",
        "A field of {flower} ran beside us for an hour, and nobody spoke.",
        "We tied up for lunch under a {tree} and ate {cheese}, {vegetable} and cold {sausage|pancakes|pie}.",
        "The long tunnel took {number} minutes, and our lamp showed wet bricks, white roots and once a pair of eyes.",
        "Rain came from the {direction}, and we took turns at the tiller with the big umbrella.",
        "An angler lifted his rod, counted us as we went by, and lowered it again.",
        "The dog jumped ashore after a {animal} and met us, quite proud, {small} locks further on.",
        "Near {place} we ran on the mud and needed the pole, a rope and {number} minutes to come free.",
    ]),
    (4, [
        "In the evening we made fast near {place}, and the stars lay in the water between the reeds.",
        "{girl} cooked {vegetable} with {herb} on the small stove, and the windows became white with steam.",
        "{boy} played {the fiddle|a tin whistle|the accordion}, and after a while a second tune answered from the {boat}.",
        "We counted {number} {waterbird} before it was too dark to see.",
        "The night was {quiet|windy|full of frogs|so cold that the ropes froze}, and everybody slept under {small} blankets.",
        "I wrote the log by candle, with {small} drops of wax as a witness.",
        "In the distance the last train went to {village}, a row of yellow windows and then nothing.",
    ]),
    (3, [
        "Today we made {number} kilometres and {small} locks, and we burned {small} buckets of coal.",
        "Tomorrow we hope to buy {vegetable}, lamp oil and stamps.",
        "Things to repair: the {left|right} fender, the pump, and the friendship between the dog and the {waterbird}.",
        "When we reached {=village2}, {person} was standing on the quay with {thing} that we had left there last year.",
        "It is not far by road, but by road one would have seen none of it.",
    ]),
])

TALES = ("http://tales.hearth.example/tale/{}", "magazine", "{=girl} and the {=animal}", [
    (3, [
        "Once there was a girl called {=girl}, who lived with her {grandmother|uncle|two brothers} near {place} in {=village}.",
        "One {morning|evening|afternoon} in {month} {=girl} found {=thing} {under the {tree} tree|on the path to the well|in the pocket of an old coat|between two stones of the wall}.",
        "She had never seen anything like it, and she asked {person} what it might be.",
        "Nobody in {=village} could say where it came from, although {person} looked at it for a long time.",
        "{=girl} was {small} years older than her cousin {boy} and not afraid of anything except {geese|thunder|the dark cellar}.",
    ]),
    (4, [
        "Just then a {=animal} came out of the hedge and said that it had lost exactly such a thing.",
        "The {=animal} had {a torn ear|one white paw|very bright eyes|mud up to its nose}, and it looked {tired|worried|hungry|proud}.",
        "\"If you help me,\" said the {=animal}, \"I will show you {the door under the hill|where the river sleeps|the oldest {tree} in the wood|what the {bird} talk about}.\"",
        "{=girl} thought about it for as long as it takes to eat a pear, and then she nodded.",
        "They walked past {place} and over {small} fences until they came to a house with a {colour} door.",
        "In the house sat an old woman who was knitting a {sock|blanket|net} out of {grey|silver|green} wool and did not look up.",
        "\"You are late,\" said the old woman, \"but the soup is still warm.\"",
        "The path became narrow, the light became {green|blue|thin}, and the {bird} in the branches fell silent.",
    ]),
    (5, [
        "There were {small} questions to answer, and the first was {how many stairs the church tower has|what is always coming and never arrives|which bird sings before the rain|what a river has in its mouth}.",
        "{=girl} remembered what {person} had once told her, and she answered without fear.",
        "The second time she was wrong, and a wind blew out the {lamp|candle|fire}.",
        "The {=animal} whispered something into her ear that sounded like {rain on a roof|dry leaves|a very small bell}.",
        "So she gave away her {bread|scarf|last coin|left shoe}, and the old woman smiled for the first time.",
        "Behind the stove there was a little box, and in the box lay {thing}, wrapped in {moss|a letter|a {colour} cloth}.",
        "\"It belongs to whoever needs it most,\" said a voice from the {chimney|clock|well}.",
        "Outside, {number} {waterbird} were waiting on the pond, and they all bowed their heads.",
        "The {=animal} laughed so much that it fell into the {flour|ink|butter}.",
        "Then the clock struck {hour}, and the {colour} door began to close.",
    ]),
    (4, [
        "They ran as fast as they could, and the moon ran with them over the roofs of {=village}.",
        "When {=girl} came home, her supper was still warm, as if no time had passed at all.",
        "She hung {=thing} on a nail above her bed, and on windy nights it {hums|shines a little|turns by itself|smells of apples}.",
        "The {=animal} visits her on the first {day} of every month and always stays for {small} cups of milk.",
        "Some say that it was a dream, but {person} has kept the {shoe|scarf|key} and can show it to you.",
        "From that day on no child in {=village} was afraid of {the wood|the mill at night|the deep water}.",
        "And if you go past {place} in the evening, walk slowly and say good night to whoever is there.",
    ]),
])

MARKET = ("http://www.valleynews.example/market/{}", "news", "{=day} market at {=village}: {=vegetable}, {=fruit} and {craft}", [
    (3, [
        "About {number} stalls stood round {place} of {=village} this {=day}, {small} more than in {month}.",
        "The {=day} market began in {fog|sunshine|a cold wind|light rain}, but by {hour} the square was full.",
        "{person} opened the market with the hand bell, as the custom has been for {number} years.",
        "People came on foot, by bicycle, and with the early train from {village}.",
        "The smell of {roasted nuts|fresh bread|wet dogs|coffee} reached as far as the station.",
    ]),
    (5, [
        "A bag of {=vegetable} cost {number} coins, which is {a little more|a little less|twice as much} as last week.",
        "The {=fruit} were small but sweet, and they were sold out before {hour}.",
        "{girl} from {village} brought {number} jars of honey, and {person} bought {small} of them.",
        "There was a long line in front of the stall with {cheese}, where everybody was allowed to taste.",
        "{craft} sat beside the fountain and let the children try the work with their own hands.",
        "The fish came from the lake and were so fresh that one of them jumped back into the {bucket|fountain|basket of {vegetable}}.",
        "Eggs were rare, because the hens of {village} do not like the {cold|heat|new road}.",
        "{boy} sold {number} bunches of {flower} and gave the last one to his teacher.",
        "A farmer offered young {tree} trees with bare roots and explained to everyone how deep the hole must be.",
        "For {vegetable} it was too early in the year, although {person} had hoped for some.",
        "Old tools lay on a blanket, among them a {saw|plane|pair of scales} that {person} had lost {small} years ago.",
    ]),
    (4, [
        "A goat broke loose about {hour}, ate a {hat|poster|bunch of {flower}}, and was led away by {girl}.",
        "The brass band played {small} marches and one waltz, and the {bird} on the roof left after the second.",
        "The council will decide in {month} whether the stalls may stay until the evening.",
        "Two neighbours argued about the price of a {wheelbarrow|ladder|goose} and ended by drinking coffee together.",
        "The purse that was found near {place} can be collected from {person}.",
        "Rain at {hour} sent everybody under the arches, where business went on without a break.",
        "{person} weighed the largest {pumpkin|cabbage|turnip} of the day, and it came to {number} kilograms.",
        "The school class collected money for {a new boat|the library roof|{number} apple trees} and counted {number} coins.",
    ]),
    (3, [
        "At {hour} the street was swept, and the sparrows took what was left.",
        "Next {=day} there will be {vegetable} from {village} and, if the road is open, {cheese} from the hills.",
        "Whoever wants a stall should speak to {person} before {day}.",
        "Most people went home with heavier bags and lighter purses, and nobody seemed sorry.",
        "The market is held in every week of the year except the one with the great snow.",
    ]),
])

N_PAGES = 28  # of each family
FAMILIES = {"weather": WEATHER, "ferry": FERRY, "birds": BIRDS, "soups": SOUPS, "garden": GARDEN, "boatlog": BOATLOG, "tales": TALES, "market": MARKET}


def sentences(seed, count):
    """`count` sentences of mixed families, as filler for planted pages. No two come from the same template."""
    choose = Chooser("filler", seed)
    grammar = Grammar(choose, POOLS)
    templates = [template for _, _, _, groups in FAMILIES.values() for _, group in groups for template in group]
    return [grammar.expand(template) for template in choose.shuffled(templates)[:count]]


def page(name, number):
    """Page `number` of the family `name`."""
    address, template, title, groups = FAMILIES[name]
    choose = Chooser("family", name, number)
    grammar = Grammar(choose, POOLS)
    title = grammar.expand(title)
    title = title[0].upper() + title[1:]
    blocks = [("paragraph", text) for text in grammar.paragraphs(groups)]
    return Page(url=address.format(f"{number:03}"), title=title, blocks=blocks, template=template, kind="generated")


def all_pages():
    """Every page of every family."""
    return [page(name, number) for name in FAMILIES for number in range(1, N_PAGES + 1)]
